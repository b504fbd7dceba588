'use strict';

// usage: node cluster.js HOST:PORT
// A cluster of two workers that answer as rstserver's GET /, POST /echo, GET /slow and GET /events do, and name their process. On SIGHUP there are
// two new ones, and once these listen the old ones close: what is idle and event streams at once, what is in flight when it is answered, and the
// rest after 5 s.

const cluster = require('cluster');
const http = require('http');

const [address = ''] = process.argv.slice(2);
const colon = address.lastIndexOf(':');
const longest = 5000; // ms

if (colon < 0) fail('usage: node cluster.js HOST:PORT');
if (cluster.isPrimary) primary();
else worker();

function primary() {
  let workers = [cluster.fork(), cluster.fork()];
  process.on('SIGHUP', () => {
    const old = workers;
    workers = old.map(() => cluster.fork());
    let listening = 0;
    for (const w of workers) {
      w.once('listening', () => {
        if (++listening === workers.length) for (const o of old) o.send('close');
      });
    }
  });
}

function worker() {
  const server = http.createServer((request, response) => {
    response.setHeader('Server-Process', process.pid);
    if (closing) response.setHeader('Connection', 'close');
    const url = new URL(request.url, 'http://localhost');
    switch (url.pathname) {
      case '/':
        response.end('Hello, World!');
        break;
      case '/echo':
        request.pipe(response);
        break;
      case '/slow':
        setTimeout(() => response.end('slept\n'), Number(url.searchParams.get('ms')));
        break;
      case '/events': {
        response.setHeader('Content-Type', 'text/event-stream');
        response.setHeader('Cache-Control', 'no-cache');
        let n = 0;
        const tick = () => response.write(`id: ${++n}\ndata: ${new Date().toISOString()}\n\n`);
        tick();
        const timer = setInterval(tick, Number(url.searchParams.get('ms')));
        streams.add(response);
        response.once('close', () => {
          clearInterval(timer);
          streams.delete(response);
        });
        break;
      }
      default:
        response.statusCode = 404;
        response.end();
    }
  });
  const streams = new Set(); // answers that do not end by themselves
  let closing = false;
  process.on('message', (message) => {
    if (message !== 'close') return;
    closing = true;
    server.close(() => process.exit(0));
    server.closeIdleConnections();
    for (const stream of streams) stream.end();
    setTimeout(() => process.exit(0), longest);
  });
  server.keepAliveTimeout = 10 * 60 * 1000;
  server.on('error', (err) => fail(err.message));
  server.listen({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)), backlog: 4096 });
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
