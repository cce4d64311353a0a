// Phoenix's own client, driven against a server: prints what it saw as JSON. Arguments: URL, transport, version.
import {Socket, LongPoll} from "phoenix"
import WebSocket from "ws"

const [url, kind, version] = process.argv.slice(2)
const seen = []
const v1 = {encode: (message, done) => done(JSON.stringify(message)), decode: (raw, done) => done(JSON.parse(raw))}
const socket = new Socket(url, {
  transport: kind === "longpoll" ? LongPoll : WebSocket,
  vsn: version,
  timeout: 5000,
  heartbeatIntervalMs: 200,
  params: {token: "of-the-url"},
  ...(version === "1.0.0" ? v1 : {}),
})

const text = (value) => (value instanceof ArrayBuffer || ArrayBuffer.isView(value) ? `bytes:${Buffer.from(value).toString("hex")}` : value)
const answer = (push) => new Promise((resolve) => {
  push.receive("ok", (response) => resolve(["ok", text(response)]))
    .receive("error", (response) => resolve(["error", text(response)]))
    .receive("timeout", () => resolve(["timeout"]))
})
const event = (channel, name) => new Promise((resolve) => {
  const ref = channel.on(name, (payload) => { channel.off(name, ref); resolve([name, text(payload)]) })
})

socket.connect()
const room = socket.channel("room:a", {as: "zed"})
seen.push(await answer(room.join()))
seen.push(await answer(room.push("echo", {text: "Grüße, 世界"})))
const pushed = event(room, "news")
seen.push(await answer(room.push("tell", {})), await pushed)
if(kind !== "longpoll" && version !== "1.0.0"){
  seen.push(await answer(room.push("echo", new Uint8Array([0, 255, 1]).buffer)))
  const binary = event(room, "binary")
  seen.push(await answer(room.push("tell_binary", {})), await binary)
}
const refused = socket.channel("private:b", {})
seen.push(await answer(refused.join()))
refused.leave()
const view = socket.channel("lv:phx-fake", {url: "http://app.test/fake", session: "none"})
seen.push(await answer(view.join()))
for(const name of ["swap", "component"]){ seen.push(await answer(view.push("event", {type: "click", event: name, value: {}}))) }
const rejoined = new Promise((resolve) => { view.onError(() => resolve("error")) })
view.push("event", {type: "click", event: "crash", value: {}})
seen.push(await rejoined)
seen.push(await answer(room.leave()))
await new Promise((resolve) => setTimeout(resolve, 300))
process.stdout.write(JSON.stringify(seen) + "\n", () => { socket.disconnect(); setTimeout(() => process.exit(0), 100) })
