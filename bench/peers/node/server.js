'use strict';

// usage: node server.js WAY HOST:PORT [--tls CERT KEY]
// With these files it serves over TLS. Answers as rstserver's GET /, /slow, /bytes, /events, /upgrade, /ws and /ws/room do, and GET and POST /events/room. On SIGTERM it lets go in the way that it was called with, and
// exits when that has come to its end.

const fs = require('fs');
const http = require('http');
const https = require('https');
const { Readable, pipeline } = require('stream');
const { WebSocketServer } = require('ws');
const ways = require('./ways');

const minutes = 60 * 1000;
const [way, address = '', flag, cert, key] = process.argv.slice(2);
const colon = address.lastIndexOf(':');
if (!Object.hasOwn(ways, way) || colon < 0 || flag && (flag !== '--tls' || !key)) {
  fail(`usage: node server.js WAY HOST:PORT [--tls CERT KEY], where WAY is one of ${Object.keys(ways).join(', ')}`);
}

const room = new Set(); // answers of /events/room

function beginEvents(response) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  response.flushHeaders();
}

const server = flag ?
  https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), handshakeTimeout: 10 * minutes }, answer) :
  http.createServer(answer);

function answer(request, response) {
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
    case '/events': {
      const ms = Number(url.searchParams.get('ms'));
      beginEvents(response);
      let n = 0;
      const tick = () => response.write(`id: ${++n}\ndata: ${new Date().toISOString()}\n\n`);
      tick();
      const timer = setInterval(tick, ms);
      response.once('close', () => clearInterval(timer));
      break;
    }
    case '/events/room': {
      if (request.method === 'GET') {
        room.add(response);
        response.once('close', () => room.delete(response));
        beginEvents(response);
        break;
      }
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('end', () => {
        const event = `data: ${Buffer.concat(pieces)}\n\n`;
        for (const member of room) member.write(event);
        response.statusCode = 204;
        response.end();
      });
      break;
    }
    default:
      response.statusCode = 404;
      response.end();
  }
}

const webSockets = {
  '/ws': new WebSocketServer({ noServer: true }),
  '/ws/room': new WebSocketServer({ noServer: true }),
};

for (const [path, sockets] of Object.entries(webSockets)) {
  sockets.on('connection', (client) => {
    client.on('error', () => {}); // the client's end
    client.on('message', (data, binary) => {
      for (const to of path === '/ws' ? [client] : sockets.clients) to.send(data, { binary });
    });
  });
}

server.on('upgrade', (request, socket, head) => {
  const sockets = webSockets[request.url];
  if (sockets) {
    sockets.handleUpgrade(request, socket, head, (client) => sockets.emit('connection', client, request));
    return;
  }
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

const letGo = ways[way](server, () => Object.values(webSockets).flatMap((sockets) => [...sockets.clients]));
process.once('SIGTERM', () => letGo((err) => {
  if (err) fail(err.message);
  process.exit(0);
}));

server.on('error', (err) => fail(err.message));
server.listen({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)), backlog: 4096 }, () => {
  console.log(`listening on ${flag ? 'https' : 'http'}://${address}`);
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
