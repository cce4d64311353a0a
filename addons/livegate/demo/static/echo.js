// Talks to the echo app at /ws of the host that the page came from.
"use strict";

const MOST_LINES = 200;
const find = (id) => document.getElementById(id);
let socket;

function show(kind, text) {
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  find("log").prepend(line);
  if (find("log").childElementCount > MOST_LINES) find("log").lastElementChild.remove();
}

function connect() {
  find("connect").hidden = true;
  find("state").textContent = "Connecting…";
  socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/ws`, ["echo.v1"]);
  socket.onopen = () => {
    find("state").textContent = "Connected.";
    show("open", `open, subprotocol ${socket.protocol || "none"}`);
  };
  socket.onmessage = (message) => show("got", message.data);
  socket.onclose = (event) => {
    find("state").textContent = "Not connected.";
    find("connect").hidden = false;
    show("closed", `closed ${event.code} ${event.reason}`.trim());
  };
}

find("connect").onclick = connect;
find("form").onsubmit = (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  show("sent", `> ${find("text").value}`);
  socket.send(find("text").value);
  find("text").value = "";
};
connect();
