// Shell of the page: selects the view, and keeps the state that the live feed sends.
import { Now } from "./now.js"
import { Sessions, indexed } from "./sessions.js"
import { SessionView } from "./session.js"
import { Causes } from "./causes.js"
import { STEPS } from "./plots.js"

// Incidents per kind, as in the gateway.
const MAX_INCIDENTS = 500, RENDER_INTERVAL_MS = 400, SELECTABLE = ["frame", "open", "close", "incident"]
const main = document.getElementById("main"), link = document.getElementById("link")
const state = { overview: {}, steps: [], backends: [], incidents: [], sessions: new Map() }
const stale = new Set()
let socket = null, retryMs = 250, view = null, session = null, renderedAt = 0

function go(hash, replace = false) {
  if (location.hash === hash) route()
  else if (replace) location.replace(hash)
  else location.hash = hash
}

// #/now, #/sessions, #/causes, #/session/9, #/session/9/frame/8?q=…; #/sessions/9 means #/session/9.
function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s)
  const parts = path.split("/")
  if (parts[0] === "sessions" && parts[1]) parts[0] = "session"
  const next = parts[0] in views || parts[0] === "session" ? parts[0] : "now"
  for (const one of document.querySelectorAll("nav a")) {
    if (one.getAttribute("href") === `#/${next === "session" ? "sessions" : next}`) one.setAttribute("aria-current", "page")
    else one.removeAttribute("aria-current")
  }
  const moved = next !== view
  view = next
  document.title = view === "session" ? `Session ${parts[1]} · livegate` : `livegate · ${view}`
  if (view === "session") { openSession(Number(parts[1]), SELECTABLE.includes(parts[2]) && parts[3] ? `${parts[2]}/${Number(parts[3])}` : null, query); return }
  if (session) { session.leave(); session = null; send({ watch: null }) }
  if (moved) {
    main.replaceChildren(views[view].root)
    main.scrollTop = 0
  }
  render(true)
}

function openSession(number, selected, query) {
  if (!session || session.number !== number) {
    if (session) session.leave()
    session = new SessionView(number, {
      fetchFrame: index => request(`api/v1/sessions/${number}/frames/${index}`), go, exported: false,
      search: async (text, from) => (await request(`api/v1/sessions/${number}/frames?from=${from}&q=${encodeURIComponent(text)}`)).frames,
    })
    main.replaceChildren(session.root)
    main.scrollTop = 0
    load(session)
  }
  session.restore(selected, query)
}

async function load(one) {
  try {
    const detail = await request(`api/v1/sessions/${one.number}`)
    one.style = await request(`api/v1/sessions/${one.number}/style`)
    let from = detail.frames.first, lines = []
    while (from < detail.frames.end) {
      const { frames } = await request(`api/v1/sessions/${one.number}/frames?from=${from}`)
      if (!frames.length) break
      lines = lines.concat(frames)
      from = frames[frames.length - 1].n + 1
    }
    if (session !== one) return
    one.update(detail, lines)
    send({ watch: one.number, from })
  } catch (error) {
    one.showError(error.message)
  }
}

async function request(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } })
  const value = await response.json()
  if (!response.ok) throw new Error(value.error || `The gateway responded with status ${response.status}.`)
  return value
}

function render(now = false) {
  if (view === "session" || (!now && (!stale.has(view) || performance.now() - renderedAt < RENDER_INTERVAL_MS))) return
  stale.delete(view)
  views[view].changed()
  renderedAt = performance.now()
}

function changed(...names) {
  for (const name of names) stale.add(name)
  render()
}

const handlers = {
  hello(message) {
    Object.assign(state, { overview: message.overview, steps: message.overview.steps, backends: message.backends, incidents: message.incidents })
    state.sessions.clear()
    if (session) load(session)
    changed("now", "sessions", "causes")
  },
  sessions(message) {
    for (const row of message.rows) state.sessions.set(row.number, indexed(row))
    for (const number of message.gone || []) state.sessions.delete(number)
    changed("sessions")
  },
  steps(message) {
    state.steps = state.steps.concat(message.steps).slice(-STEPS)
    state.backends = message.backends
    changed("now")
  },
  incidents(message) {
    const known = new Map(state.incidents.map(one => [one.id, one]))
    for (const one of message.list) known.set(one.id, one)
    const kept = new Map()
    state.incidents = [...known.values()].reverse().filter(one => {
      kept.set(one.kind, (kept.get(one.kind) || 0) + 1)
      return kept.get(one.kind) <= MAX_INCIDENTS
    }).reverse()
    changed("now", "causes")
  },
  session(message) {
    if (session && session.number === message.detail.number) session.update(message.detail, message.frames)
  },
}

function send(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
}

function connect() {
  const url = new URL("api/v1/live", location.href)
  url.protocol = url.protocol.replace("http", "ws")
  url.hash = ""
  socket = new WebSocket(url)
  socket.onopen = () => { retryMs = 250; status("on", "live") }
  socket.onmessage = event => {
    const message = JSON.parse(event.data)
    if (handlers[message.type]) handlers[message.type](message)
  }
  socket.onclose = () => {
    status("off", "disconnected, reconnecting")
    setTimeout(connect, retryMs)
    retryMs = Math.min(5000, retryMs * 2)
  }
}

function status(name, text) {
  link.className = `link ${name}`
  link.textContent = text
}

// Exported file: one session, without a gateway.
function exported(data) {
  document.querySelector("nav").hidden = true
  status("on", "exported")
  const pageAt = page => ({ html: page === null ? "" : data.pages[page], why: "" })
  const indexes = new Map(data.full.map((frame, index) => [frame.n, index])), lines = new Map(data.frames.map(line => [line.n, line]))
  const find = async number => {
    const index = indexes.get(number)
    if (index === undefined) return { error: "This frame is not in the file." }
    const { page, why, raw, changes } = data.full[index]
    return { raw, changes, line: lines.get(number), page: why ? { html: "", why } : pageAt(page), before: pageAt(index ? data.full[index - 1].page : null) }
  }
  session = new SessionView(data.session.number, { fetchFrame: find, search: async () => [], go: () => {}, exported: true })
  session.style = data.style
  view = "session"
  main.replaceChildren(session.root)
  session.update(data.session, data.frames)
  document.title = `Session ${data.session.number} · livegate`
}

const views = { now: new Now(state), sessions: new Sessions(state, go), causes: new Causes(state) }
document.addEventListener("keydown", event => {
  if (event.metaKey || event.ctrlKey || event.altKey) return
  if (session) session.key(event)
  else if (event.key === "/" && view === "sessions" && event.target !== views.sessions.search) { event.preventDefault(); views.sessions.search.focus() }
})

const embedded = document.getElementById("exported")
if (embedded) exported(JSON.parse(embedded.textContent))
else {
  window.addEventListener("hashchange", route)
  window.addEventListener("resize", () => { if (session) { if (session.detail) session.drawTimeline() } else render(true) })
  setInterval(() => render(), RENDER_INTERVAL_MS)
  route()
  connect()
}
