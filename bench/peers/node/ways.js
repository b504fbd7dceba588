'use strict';

// The ways in which a Node server lets go. Each is given the server before that listens, and what returns its WebSockets, and returns what lets go;
// that calls back with the error, if there is one, when it has come to its end.
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

  // Nothing is told to end: the process ends when it has nothing else to do, with its connections.
  unref(server) {
    const sockets = new Set();
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    return () => {
      server.unref();
      for (const socket of sockets) socket.unref();
    };
  },

  // Each answer from then on is its connection's last, and idle connections are closed, as Server.close does since Node 19.
  'connection-close'(server) {
    let stopping = false;
    server.prependListener('request', (request, response) => {
      if (stopping) response.setHeader('Connection', 'close');
    });
    return (done) => {
      stopping = true;
      server.close(done);
    };
  },

  // The port is given up, and whoever waits for 'close' goes on, while the connections live on: for a new certificate.
  'emit-close'(server) {
    return () => {
      server.close();
      server.emit('close');
    };
  },

  // Those of the package ws: each client is sent a close frame, and cut after 30 s if it does not answer.
  'ws-close'(server, webSockets) {
    return (done) => {
      server.close(done);
      server.closeIdleConnections();
      for (const client of webSockets()) client.close(1001);
    };
  },

  'ws-terminate'(server, webSockets) {
    return (done) => {
      server.close(done);
      server.closeIdleConnections();
      for (const client of webSockets()) client.terminate();
    };
  },
};
