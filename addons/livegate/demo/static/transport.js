// Which transport this tab uses: `?transport=longpoll` or `?transport=websocket` in an address chooses, and the tab remembers it.
const chosen = new URLSearchParams(location.search).get("transport")
if (chosen) sessionStorage.setItem("transport", chosen)
// phoenix.js takes long-poll where a browser has no WebSocket.
if (sessionStorage.getItem("transport") === "longpoll") window.WebSocket = undefined
