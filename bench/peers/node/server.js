'use strict';

// usage: node server.js WAY HOST:PORT
// Answers as rstserver's GET /, /slow, /bytes and /upgrade do. On SIGTERM it lets go in the way that it was called with, and
// exits when that has come to its end.

const http = require('http');
const { Readable, pipeline } = require('stream');
const ways = require('./ways');

const minutes = 60 * 1000;
const [way, address = ''] = process.argv.slice(2);
const colon = address.lastIndexOf(':');
if (!Object.hasOwn(ways, way) || colon < 0) {
  fail(`usage: node server.js WAY HOST:PORT, where WAY is one of ${Object.keys(ways).join(', ')}`);
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  switch (url.pathname) {
    case '/':
      response.setHeader('Content-Type', 'text/plain; charset=utf-8');
      response.end('Hello, World!');
      break;
    case '/slow': {
      const ms = Number(url.searchParams.get('ms'));
      const timer = setTimeout(() => response.end(`slept ${ms} ms\n`), ms);
      response.once('close', () => clearTimeout(timer));
      break;
    }
    case '/bytes': {
      const n = Number(url.searchParams.get('n'));
      response.setHeader('Content-Type', 'application/octet-stream');
      response.setHeader('Content-Length', n);
      pipeline(Readable.from(zeros(n)), response, () => {}); // an error is the client's end
      break;
    }
    default:
      response.statusCode = 404;
      response.end();
  }
});

server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => {}); // the client's end
  if (request.url !== '/upgrade' || request.headers.upgrade !== 'echo') {
    socket.end('HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  socket.write(head);
  socket.pipe(socket);
});

server.keepAliveTimeout = 10 * minutes;
server.headersTimeout = 10 * minutes;
server.requestTimeout = 10 * minutes;

const letGo = ways[way](server);
process.once('SIGTERM', () => letGo((err) => {
  if (err) fail(err.message);
  process.exit(0);
}));

server.on('error', (err) => fail(err.message));
server.listen({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)), backlog: 4096 }, () => {
  console.log(`listening on http://${address}`);
});

// zeros yields n bytes in pieces.
function* zeros(n) {
  const piece = Buffer.alloc(64 * 1024);
  for (; n > piece.length; n -= piece.length) yield piece;
  if (n > 0) yield piece.subarray(0, n);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
