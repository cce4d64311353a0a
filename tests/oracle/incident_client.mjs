// Phoenix's own client lives through something that goes wrong. Arguments: URL, transport, topic, what is waited for.
import {Socket, LongPoll} from "phoenix"
import WebSocket from "ws"

const [url, kind, topic, until] = process.argv.slice(2)
const socket = new Socket(url, {
  transport: kind === "longpoll" ? LongPoll : WebSocket,
  params: {_csrf_token: "of-the-page"},
  reconnectAfterMs: () => 50,
  rejoinAfterMs: () => 50,
})
let joins = 0, errors = 0
const done = () => { socket.disconnect(); setTimeout(() => process.exit(0), 100) }
const view = socket.channel(topic, {url: "http://app.test/fake", session: "none", params: {_mounts: 0}})
socket.onError(() => { if(until === "error" && ++errors === 3){ done() } })
socket.connect()
view.join()
  .receive("ok", () => {
    if(++joins === 2){ return done() }
    view.push("event", {type: "click", event: "crash", value: {}})
  })
  .receive("error", () => { view.leave(); done() })
setTimeout(() => process.exit(1), 20000)
