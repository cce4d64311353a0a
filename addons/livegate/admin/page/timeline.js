// Timeline of a session: one track per kind. A push with its reply is a bar.
import { el, svg, ms, clock } from "./dom.js"
import { isBroken, lostKey, lostOf, normallyClosed } from "./rows.js"
import { closeText, toneOf, BAD, OPEN, QUIET, SIGNS, WARN } from "./closes.js"

const TRACKS = ["HTTP", "Socket", "Joins", "Events", "Server diffs", "Heartbeats", "Problems"]
const HTTP = 0, SOCKET = 1, JOINS = 2, EVENTS = 3, SERVER = 4, HEARTBEATS = 5, PROBLEMS = 6
const TRACK_HEIGHT = 26, HEAD = 18, MARGIN = 96, PAD = 28, MIN_BAR = 4, SIGN = 11
const COLOURS = ["var(--c5)", "var(--c1)", "var(--c1)", "var(--c0)", "var(--c4)", "var(--c5)", "var(--bad)"]
const TONES = { [BAD]: "var(--bad)", [WARN]: "var(--warn)", [QUIET]: "var(--c5)", [OPEN]: "var(--c1)" }
const FAILED = 500, REFUSED = 400

export class Timeline {
  // select(key): called with "frame/8" or "close/2" when a bar is clicked
  constructor(select) {
    this.root = el("div", { class: "timeline", tabindex: 0, role: "group", "aria-label": "Timeline", onclick: event => event.target.dataset.key && select(event.target.dataset.key) })
    Object.assign(this, { selected: null, x: null, frames: [], cursor: null })
  }

  draw(detail, frames, zoom) {
    const left = this.root.scrollLeft, width = this.root.clientWidth || 900
    const drawn = [...httpBars(detail), ...socketBars(detail), ...frameBars(frames, detail), ...incidentBars(detail)]
    const start = drawn.reduce((first, one) => Math.min(first, one.from), detail.opened)
    const end = drawn.reduce((last, one) => Math.max(last, one.to), Math.max(detail.last, start + 0.5))
    const wide = Math.max(200, width - MARGIN - PAD) * zoom, bottom = HEAD + TRACKS.length * TRACK_HEIGHT
    this.x = at => MARGIN + (at - start) / (end - start) * wide
    this.frames = frames
    this.cursor = svg("line", { class: "cursor", y1: 14, y2: bottom, visibility: "hidden" })
    const label = `Timeline of session ${detail.number}: ${frames.length} frames, ${detail.http.length} HTTP requests, ${detail.connections.length} sockets`
    this.root.replaceChildren(svg("svg", { width: MARGIN + wide + PAD, height: bottom + 4, role: "img", "aria-label": label },
      grid(start, end, wide, this.x), drawn.flatMap(one => shape(one, this.x)), this.cursor))
    this.root.scrollLeft = left
  }

  select(key) {
    if (this.selected) this.selected.classList.remove("selected")
    this.selected = key && this.root.querySelector(`rect[data-key="${CSS.escape(key)}"]`)
    if (this.selected) this.selected.classList.add("selected")
    const line = this.frames.find(one => `frame/${one.n}` === key)
    const x = line ? this.x(line.at) : this.selected ? Number(this.selected.getAttribute("x")) + Number(this.selected.getAttribute("width")) : null
    this.cursor.setAttribute("visibility", x === null ? "hidden" : "visible")
    if (x === null) return
    for (const name of ["x1", "x2"]) this.cursor.setAttribute(name, x)
    const room = this.root.clientWidth
    if (x < this.root.scrollLeft + MARGIN || x > this.root.scrollLeft + room) this.root.scrollLeft = x - room / 2
  }
}

function shape(one, x) {
  const from = x(one.from), width = Math.max(MIN_BAR, x(one.to) - from), top = HEAD + one.track * TRACK_HEIGHT
  const bar = svg("rect", {
    class: one.key ? one.frame ? "item frame" : "item mark" : "item", "data-key": one.key, x: from.toFixed(1), y: top + 4, width: width.toFixed(1), height: TRACK_HEIGHT - 12, rx: 3, fill: one.colour,
  }, svg("title", {}, one.title))
  return SIGNS[one.tone] ? [bar, svg("text", { class: "sign", x: (from + width + 2).toFixed(1), y: top + SIGN + 5, fill: one.colour }, SIGNS[one.tone][0])] : [bar]
}

function trackOf(line) {
  if (line.what === "heartbeat") return HEARTBEATS
  if (line.what === "crash" || line.what === "refused") return PROBLEMS
  if (["join", "joined", "redirected", "leave", "close"].includes(line.what)) return JOINS
  return line.what === "diff" || (line.what === "push" && line.dir === "down") ? SERVER : EVENTS
}

// Bars of frames. A reply covers its push, which is not drawn separately.
function frameBars(frames, detail) {
  const replied = new Set(frames.filter(line => line.ms !== null && line.dir === "down").map(line => `${line.socket} ${line.ref}`))
  const lost = lostOf(detail), normal = normallyClosed(detail)
  return frames.filter(line => !(line.dir === "up" && line.ref && replied.has(`${line.socket} ${line.ref}`))).map(line => {
    const track = trackOf(line), outcome = line.dir === "up" ? lost.get(lostKey(line)) : null, bad = isBroken(line, lost, normal)
    const from = line.dir === "down" && line.ms ? line.at - line.ms / 1000 : line.at
    return { track, from, to: line.at, key: `frame/${line.n}`, frame: true, colour: bad ? TONES[BAD] : COLOURS[track], tone: bad ? BAD : "", title: outcome ? `${line.text}: no reply (${outcome})` : line.text }
  })
}

function httpBars(detail) {
  return detail.http.map(one => {
    const tone = !one.status || one.status >= FAILED ? BAD : one.status >= REFUSED ? WARN : QUIET
    return { track: HTTP, from: one.at, to: one.at + one.ms / 1000, colour: TONES[tone], tone, title: `${one.method} ${one.path} ${one.status ?? "no response"} after ${ms(one.ms)}` }
  })
}

function socketBars(detail) {
  return detail.connections.flatMap((one, index) => {
    const tone = toneOf(one), number = index + 1, again = index ? `reconnect ${index}, ` : ""
    const key = `${one.closed_at === null ? "open" : "close"}/${number}`
    return [{ track: SOCKET, from: one.opened_at, to: one.closed_at ?? detail.last, key, colour: TONES[tone], tone, title: `${again}${one.transport} socket ${number}: ${one.closed_at === null ? "open" : `closed with ${closeText(one)}`}` }]
  })
}

function incidentBars(detail) {
  return detail.incidents.map(one => ({
    track: PROBLEMS, from: one.at, to: one.healed_at ?? one.at, key: `incident/${one.number}`, colour: one.healed ? TONES[WARN] : TONES[BAD], tone: one.healed ? WARN : BAD, title: `${one.title}${one.view ? ` · ${one.view}` : ""}`,
  }))
}

function grid(start, end, wide, x) {
  const parts = TRACKS.flatMap((name, track) => [
    svg("line", { class: "track", x1: 0, x2: MARGIN + wide + PAD, y1: HEAD + (track + 1) * TRACK_HEIGHT - 3, y2: HEAD + (track + 1) * TRACK_HEIGHT - 3 }),
    svg("text", { x: 4, y: HEAD + track * TRACK_HEIGHT + 16 }, name),
  ])
  const ticks = Math.max(2, Math.floor(wide / 160)), span = end - start
  for (let tick = 0; tick <= ticks; tick += 1) {
    const at = start + span * tick / ticks
    const text = span > 300 ? clock(at) : `+${(at - start).toFixed(span > 20 ? 0 : span > 2 ? 1 : 2)} s`
    parts.push(svg("text", { x: x(at), y: 11, "text-anchor": tick === 0 ? "start" : "middle" }, text))
  }
  return parts
}
