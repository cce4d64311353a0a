// The shell: which view is shown, and what the gateway tells of.
import { Now } from "./now.js"
import { Sessions, known } from "./sessions.js"
import { SessionView } from "./session.js"
import { Causes } from "./causes.js"
import { STEPS } from "./plots.js"

// Of each kind, as the gateway keeps them: sockets that close all day push out no refusal.
const MAX_INCIDENTS = 500, REST_MS = 400, CHOSEN = ["frame", "open", "close", "incident"]
const main = document.getElementById("main"), link = document.getElementById("link")
const state = { overview: {}, steps: [], backends: [], incidents: [], sessions: new Map() }
const stale = new Set()
let socket = null, wait = 250, view = null, session = null, drawn = 0

function go(hash, instead = false) {
  if (location.hash === hash) route()
  else if (instead) location.replace(hash)
  else location.hash = hash
}

// #/now, #/sessions, #/causes, #/session/9, #/session/9/frame/8?q=…; #/sessions/9 is the same as #/session/9.
function route() {
  const [place, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s)
  const parts = place.split("/")
  if (parts[0] === "sessions" && parts[1]) parts[0] = "session"
  const next = parts[0] in views || parts[0] === "session" ? parts[0] : "now"
  for (const one of document.querySelectorAll("nav a")) {
    if (one.getAttribute("href") === `#/${next === "session" ? "sessions" : next}`) one.setAttribute("aria-current", "page")
    else one.removeAttribute("aria-current")
  }
  const moved = next !== view
  view = next
  document.title = view === "session" ? `Session ${parts[1]} · livegate` : `livegate · ${view}`
  if (view === "session") { openSession(Number(parts[1]), CHOSEN.includes(parts[2]) && parts[3] ? `${parts[2]}/${Number(parts[3])}` : null, query); return }
  if (session) { session.leave(); session = null; say({ watch: null }) }
  if (moved) {
    main.replaceChildren(views[view].root)
    main.scrollTop = 0
  }
  render(true)
}

function openSession(number, chosen, query) {
  if (!session || session.number !== number) {
    if (session) session.leave()
    session = new SessionView(number, {
      ask: index => ask(`api/v1/sessions/${number}/frames/${index}`), go, exported: false,
      search: async (text, from) => (await ask(`api/v1/sessions/${number}/frames?from=${from}&q=${encodeURIComponent(text)}`)).frames,
    })
    main.replaceChildren(session.root)
    main.scrollTop = 0
    load(session)
  }
  session.restore(chosen, query)
}

async function load(one) {
  try {
    const detail = await ask(`api/v1/sessions/${one.number}`)
    one.style = await ask(`api/v1/sessions/${one.number}/style`)
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
  if (view === "session" || (!now && (!stale.has(view) || performance.now() - drawn < REST_MS))) return
  stale.delete(view)
  views[view].changed()
  drawn = performance.now()
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
    for (const row of message.rows) state.sessions.set(row.number, known(row))
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

// A file that holds one session and needs no gateway.
function exported(data) {
  document.querySelector("nav").hidden = true
  status("on", "exported")
  const shown = page => ({ html: page === null ? "" : data.pages[page], why: "" })
  const places = new Map(data.full.map((frame, place) => [frame.n, place])), lines = new Map(data.frames.map(line => [line.n, line]))
  const find = async number => {
    const place = places.get(number)
    if (place === undefined) return { error: "This frame is not in the file." }
    const { page, why, raw, changes } = data.full[place]
    return { raw, changes, line: lines.get(number), page: why ? { html: "", why } : shown(page), before: shown(place ? data.full[place - 1].page : null) }
  }
  session = new SessionView(data.session.number, { ask: find, search: async () => [], go: () => {}, exported: true })
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
  window.addEventListener("resize", () => { if (session) { if (session.detail) session.drawLanes() } else render(true) })
  setInterval(() => render(), REST_MS)
  route()
  connect()
}
