// The shell: which view is shown, and what the gateway tells of.
import { renderNow } from "./now.js"
import { Sessions } from "./sessions.js"
import { SessionView } from "./session.js"
import { renderCauses } from "./causes.js"
import { STEPS } from "./plots.js"

const MAX_INCIDENTS = 500
const main = document.getElementById("main"), link = document.getElementById("link")
const state = { overview: {}, steps: [], backends: [], incidents: [], sessions: new Map() }
let socket = null, wait = 250, view = null, table = null, session = null, filter = "", dirty = false, last = 0

function go(hash) {
  if (location.hash === hash) route()
  else location.hash = hash
}

function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/")
  const next = ["now", "sessions", "session", "causes"].includes(parts[0]) ? parts[0] : "now"
  for (const one of document.querySelectorAll("nav a")) {
    if (one.getAttribute("href") === `#/${next === "session" ? "sessions" : next}`) one.setAttribute("aria-current", "page")
    else one.removeAttribute("aria-current")
  }
  const changed = next !== view
  view = next
  if (view === "session") openSession(Number(parts[1]), parts[2] === "frame" ? Number(parts[3]) : null)
  else {
    if (session) { session = null; say({ watch: null }) }
    if (changed) { main.replaceChildren(); main.scrollTop = 0 }
    render(true)
  }
  document.title = view === "session" ? `Session ${parts[1]} · livegate` : `livegate · ${view}`
}

function openSession(number, frame) {
  if (!session || session.number !== number) {
    session = new SessionView(number, async index => ask(`api/v1/sessions/${number}/frames/${index}`), go, false)
    main.replaceChildren(session.root)
    load(session)
  }
  if (frame !== null && frame !== session.selected) { session.follow = false; session.select(frame) }
}

async function load(one) {
  try {
    const detail = await ask(`api/v1/sessions/${one.number}`)
    let from = detail.frames.first, lines = []
    while (from < detail.frames.end) {
      const { frames } = await ask(`api/v1/sessions/${one.number}/frames?from=${from}`)
      if (!frames.length) break
      lines = lines.concat(frames)
      from = frames[frames.length - 1].n + 1
    }
    if (session !== one) return
    one.update(detail, lines)
    say({ watch: one.number, from })
  } catch (error) {
    one.gone(error.message)
  }
}

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } })
  const value = await answer.json()
  if (!answer.ok) throw new Error(value.error || `The gateway said ${answer.status}.`)
  return value
}

function render(now = false) {
  if (view === "session") return
  if (!now && performance.now() - last < 400) { dirty = true; return }
  dirty = false
  last = performance.now()
  if (view === "sessions") {
    table = table || new Sessions(state, go)
    if (!table.root.isConnected) main.replaceChildren(table.root)
    table.changed()
  } else if (view === "now") main.replaceChildren(...renderNow(state))
  else if (!main.contains(document.activeElement) || now) main.replaceChildren(...renderCauses(state, filter, value => { filter = value; render(true) }))
}

const handlers = {
  hello(message) {
    Object.assign(state, { overview: message.overview, steps: message.overview.steps, backends: message.backends, incidents: message.incidents })
    state.sessions.clear()
    if (session) load(session)
  },
  sessions(message) {
    for (const row of message.rows) state.sessions.set(row.number, row)
  },
  steps(message) {
    state.steps = state.steps.concat(message.steps).slice(-STEPS)
    state.backends = message.backends
  },
  incidents(message) {
    state.incidents = state.incidents.concat(message.list).slice(-MAX_INCIDENTS)
  },
  session(message) {
    if (session && session.number === message.detail.number) session.update(message.detail, message.frames)
  },
}

function say(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
}

function connect() {
  const url = new URL("api/v1/live", location.href)
  url.protocol = url.protocol.replace("http", "ws")
  url.hash = ""
  socket = new WebSocket(url)
  socket.onopen = () => { wait = 250; status("on", "live") }
  socket.onmessage = event => {
    const message = JSON.parse(event.data)
    if (handlers[message.type]) handlers[message.type](message)
    if (message.type !== "session") render(message.type === "hello")
  }
  socket.onclose = () => {
    status("off", "no connection to the gateway, trying again")
    setTimeout(connect, wait)
    wait = Math.min(5000, wait * 2)
  }
}

function status(name, text) {
  link.className = `link ${name}`
  link.textContent = text
}

function exported(data) {
  document.querySelector("nav").hidden = true
  status("on", "exported")
  const full = new Map(data.full.map(frame => [frame.line.n, frame]))
  session = new SessionView(data.session.number, async index => full.get(index) || { error: "This frame is not in the file." }, hash => {
    session.follow = false
    session.select(Number(hash.split("/").pop()))
  }, true)
  view = "session"
  main.replaceChildren(session.root)
  session.update(data.session, data.frames)
  document.title = `Session ${data.session.number} · livegate`
}

document.addEventListener("keydown", event => {
  if (event.metaKey || event.ctrlKey || event.altKey) return
  if (session) session.key(event)
  else if (event.key === "/" && table && view === "sessions" && event.target !== table.search) { event.preventDefault(); table.search.focus() }
})

const embedded = document.getElementById("exported")
if (embedded) exported(JSON.parse(embedded.textContent))
else {
  window.addEventListener("hashchange", route)
  window.addEventListener("resize", () => { if (table && view === "sessions") table.paint() })
  setInterval(() => { if (dirty) render() }, 250)
  route()
  connect()
}
