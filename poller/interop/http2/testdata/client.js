// Posts content to /echo at $1 on one connection, 100 requests at a time, and reads it again, and the trailer that has its length. $2 is
// the file of a certificate that is trusted.
'use strict';
const fs = require('node:fs');
const http2 = require('node:http2');

const [url, ca] = process.argv.slice(2);
const options = url.startsWith('https:') ? { ca: fs.readFileSync(ca) } : {};
const session = http2.connect(url, options);
session.on('error', (err) => { throw err; });

let answers = 0;
let trailers = 0;
function post(i) {
  return new Promise((resolve, reject) => {
    const content = Buffer.alloc(10000 + i, String(i));
    const stream = session.request({ ':method': 'POST', ':path': '/echo' });
    const parts = [];
    stream.on('data', (part) => parts.push(part));
    stream.on('trailers', (fields) => { if (fields.bytes === String(content.length)) trailers++; });
    stream.on('error', reject);
    stream.on('end', () => {
      if (Buffer.concat(parts).equals(content)) answers++;
      resolve();
    });
    stream.end(content);
  });
}

Promise.all(Array.from({ length: 100 }, (_, i) => post(i))).then(() => {
  session.close();
  console.log(`${answers} answers, ${trailers} trailers`);
});
