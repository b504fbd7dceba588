// The client of the npm package eventsource.
const { EventSource } = require('eventsource')
const events = new EventSource(process.argv[2])
let last = 0, heard = 0, opened = 0, had = 0
events.onopen = () => { opened++; had = heard }
events.onmessage = (event) => {
  const id = Number(event.lastEventId)
  if (!(id > last)) console.log('back, but something is wrong: ' + id + ' behind ' + last)
  last = id
  heard++
  if (opened === 1 && heard === 5) console.log('heard 5')
  if (opened === 2 && heard === had + 3) console.log('back')
}
events.onerror = () => { if (events.readyState === 2) console.log('back, but something is wrong: it has given up') }
