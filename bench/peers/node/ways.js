'use strict';

// The ways in which a Node server lets go. Each is given the server before that listens, and returns what lets go; that calls
// back with the error, if there is one, when it has come to its end.
module.exports = {
  map(server) {
    const sockets = new Set();
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    return (done) => {
      server.close(done);
      for (const socket of sockets) socket.destroy();
    };
  },

  'server-destroy'(server) {
    require('server-destroy')(server);
    return (done) => server.destroy(done);
  },

  killable(server) {
    require('killable')(server);
    return (done) => server.kill(done);
  },

  'http-shutdown'(server) {
    require('http-shutdown')(server);
    return (done) => server.shutdown(done);
  },

  'http-shutdown-force'(server) {
    require('http-shutdown')(server);
    return (done) => server.forceShutdown(done);
  },

  stoppable(server) {
    require('stoppable')(server);
    return (done) => server.stop(done);
  },

  'http-terminator'(server) {
    const terminator = require('http-terminator').createHttpTerminator({ server });
    return (done) => terminator.terminate().then(() => done(), done);
  },

  'close-all-connections'(server) {
    return (done) => {
      server.close(done);
      server.closeAllConnections();
    };
  },

  'process-exit'() {
    return () => process.exit(0);
  },
};
