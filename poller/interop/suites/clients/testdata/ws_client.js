// The client of the npm package ws.
const WebSocket = require('ws')
const ws = new WebSocket(process.argv[2])
const messages = ['hello', 'κόσμε', Buffer.from([0, 1]), 'x'.repeat(100000), Buffer.alloc(1000000)]
const left = messages.slice()
ws.on('open', () => ws.send(left[0]))
ws.on('message', (data) => {
  if (Buffer.compare(data, Buffer.from(left.shift())) !== 0) throw new Error('it came back otherwise')
  if (left.length > 0) ws.send(left[0])
  else console.log('echoed')
})
ws.on('close', (code) => console.log('closed ' + code))
ws.on('error', (err) => console.log('failed ' + err))
