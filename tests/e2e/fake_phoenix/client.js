// The genuine clients in a page of the fake app: LiveView, a plain channel beside it, and live_reload's in its frame.
import {LongPoll, Socket} from "phoenix"
import {LiveSocket} from "lv12"

if(location.pathname === "/phoenix/live_reload/frame"){
  const socket = new Socket("/phoenix/live_reload/socket")
  socket.connect()
  socket.channel("phoenix:live_reload", {}).join()
} else {
  const csrf = document.querySelector("meta[name='csrf-token']").content
  const live = new LiveSocket("/live", Socket, {params: {_csrf_token: csrf}})
  const plain = new Socket("/socket")
  const room = plain.channel("room:lobby", {})
  let opened = 0
  for(const socket of [live.getSocket(), plain]) socket.onOpen(() => { opened++ })
  live.connect()
  plain.connect()
  room.join()
  const use = (socket, transport) => { socket.replaceTransport(transport); socket.connect() }
  // What a test does in a page.
  window.tab = {
    live, room,
    longpoll: () => { use(live.getSocket(), LongPoll); use(plain, LongPoll) },
    websocket: () => { use(live.getSocket(), window.WebSocket); use(plain, window.WebSocket) },
    mark: () => {
      document.querySelectorAll("[phx-click=mark]").forEach((button) => button.click())
      room.push("mark", {marker: document.body.dataset.marker})
    },
    // Whether both sockets have been opened so many times, and everything on them is joined.
    ready: (times) => opened === 2 * times && live.isConnected() && room.state === "joined" &&
      [...document.querySelectorAll("[data-phx-session]")].every((element) => {
        const view = live.getViewByEl(element)
        return view && view.channel.state === "joined" && !view.joinPending
      }),
  }
}
