// One session over time: a lane for each kind of thing, events as bars from the push to its answer, all to one scale.
import { el, svg, ms, clock } from "./dom.js"
import { isBroken, lostKey, lostOf, partedOf } from "./rows.js"
import { endingOf, toneOf, BAD, OPEN, QUIET, SIGNS, WARN } from "./endings.js"

const LANES = ["HTTP", "Socket", "Joins", "Events", "Server diffs", "Heartbeats", "Problems"]
const HTTP = 0, SOCKET = 1, JOINS = 2, EVENTS = 3, SERVER = 4, HEARTBEATS = 5, PROBLEMS = 6
const LANE = 26, HEAD = 18, MARGIN = 96, PAD = 28, LEAST = 4, SIGN = 11
const COLOURS = ["var(--c5)", "var(--c1)", "var(--c1)", "var(--c0)", "var(--c4)", "var(--c5)", "var(--bad)"]
const TONES = { [BAD]: "var(--bad)", [WARN]: "var(--warn)", [QUIET]: "var(--c5)", [OPEN]: "var(--c1)" }
const FAILED = 500, REFUSED = 400

export class Timeline {
  // choose(key) with "frame/8" or "close/2" when a bar is clicked
  constructor(choose) {
    this.root = el("div", { class: "lanes", tabindex: 0, role: "group", "aria-label": "Timeline", onclick: event => event.target.dataset.key && choose(event.target.dataset.key) })
    Object.assign(this, { chosen: null, x: null, frames: [], cursor: null })
  }

  draw(detail, frames, zoom) {
    const left = this.root.scrollLeft, width = this.root.clientWidth || 900
    const drawn = [...httpBars(detail), ...socketBars(detail), ...frameBars(frames, detail), ...incidentBars(detail)]
    const begin = drawn.reduce((least, one) => Math.min(least, one.from), detail.opened)
    const end = drawn.reduce((most, one) => Math.max(most, one.to), Math.max(detail.last, begin + 0.5))
    const wide = Math.max(200, width - MARGIN - PAD) * zoom, bottom = HEAD + LANES.length * LANE
    this.x = at => MARGIN + (at - begin) / (end - begin) * wide
    this.frames = frames
    this.cursor = svg("line", { class: "cursor", y1: 14, y2: bottom, visibility: "hidden" })
    const label = `Timeline of session ${detail.number}: ${frames.length} frames, ${detail.http.length} HTTP requests, ${detail.connections.length} sockets`
    this.root.replaceChildren(svg("svg", { width: MARGIN + wide + PAD, height: bottom + 4, role: "img", "aria-label": label },
      grid(begin, end, wide, this.x), drawn.flatMap(one => shape(one, this.x)), this.cursor))
    this.root.scrollLeft = left
  }

  choose(key) {
    if (this.chosen) this.chosen.classList.remove("chosen")
    this.chosen = key && this.root.querySelector(`rect[data-key="${CSS.escape(key)}"]`)
    if (this.chosen) this.chosen.classList.add("chosen")
    const line = this.frames.find(one => `frame/${one.n}` === key)
    const x = line ? this.x(line.at) : this.chosen ? Number(this.chosen.getAttribute("x")) + Number(this.chosen.getAttribute("width")) : null
    this.cursor.setAttribute("visibility", x === null ? "hidden" : "visible")
    if (x === null) return
    for (const name of ["x1", "x2"]) this.cursor.setAttribute(name, x)
    const room = this.root.clientWidth
    if (x < this.root.scrollLeft + MARGIN || x > this.root.scrollLeft + room) this.root.scrollLeft = x - room / 2
  }
}

function shape(one, x) {
  const from = x(one.from), width = Math.max(LEAST, x(one.to) - from), top = HEAD + one.lane * LANE
  const bar = svg("rect", {
    class: one.key ? one.frame ? "item frame" : "item mark" : "item", "data-key": one.key, x: from.toFixed(1), y: top + 4, width: width.toFixed(1), height: LANE - 12, rx: 3, fill: one.colour,
  }, svg("title", {}, one.title))
  return SIGNS[one.tone] ? [bar, svg("text", { class: "sign", x: (from + width + 2).toFixed(1), y: top + SIGN + 5, fill: one.colour }, SIGNS[one.tone][0])] : [bar]
}

function laneOf(line) {
  if (line.what === "heartbeat") return HEARTBEATS
  if (line.what === "crash" || line.what === "refused") return PROBLEMS
  if (["join", "joined", "redirected", "leave", "close"].includes(line.what)) return JOINS
  return line.what === "diff" || (line.what === "push" && line.dir === "down") ? SERVER : EVENTS
}

// Frames become bars (an answer with its push) and ticks; a push that has an answer is not drawn twice.
function frameBars(frames, detail) {
  const answered = new Set(frames.filter(line => line.ms !== null && line.dir === "down").map(line => `${line.socket} ${line.ref}`))
  const lost = lostOf(detail), parted = partedOf(detail)
  return frames.filter(line => !(line.dir === "up" && line.ref && answered.has(`${line.socket} ${line.ref}`))).map(line => {
    const lane = laneOf(line), outcome = line.dir === "up" ? lost.get(lostKey(line)) : null, bad = isBroken(line, lost, parted)
    const from = line.dir === "down" && line.ms ? line.at - line.ms / 1000 : line.at
    return { lane, from, to: line.at, key: `frame/${line.n}`, frame: true, colour: bad ? TONES[BAD] : COLOURS[lane], tone: bad ? BAD : "", title: outcome ? `${line.text}: no answer (${outcome})` : line.text }
  })
}

function httpBars(detail) {
  return detail.http.map(one => {
    const tone = !one.status || one.status >= FAILED ? BAD : one.status >= REFUSED ? WARN : QUIET
    return { lane: HTTP, from: one.at, to: one.at + one.ms / 1000, colour: TONES[tone], tone, title: `${one.method} ${one.path} ${one.status ?? "no answer"} after ${ms(one.ms)}` }
  })
}

function socketBars(detail) {
  return detail.connections.flatMap((one, place) => {
    const tone = toneOf(one), number = place + 1, again = place ? `reconnect ${place}, ` : ""
    const key = `${one.closed_at === null ? "open" : "close"}/${number}`
    return [{ lane: SOCKET, from: one.opened_at, to: one.closed_at ?? detail.last, key, colour: TONES[tone], tone, title: `${again}${one.transport} socket ${number}: ${one.closed_at === null ? "open" : `closed with ${endingOf(one)}`}` }]
  })
}

function incidentBars(detail) {
  return detail.incidents.map(one => ({
    lane: PROBLEMS, from: one.at, to: one.healed_at ?? one.at, key: `incident/${one.number}`, colour: one.healed ? TONES[WARN] : TONES[BAD], tone: one.healed ? WARN : BAD, title: `${one.title}${one.view ? ` · ${one.view}` : ""}`,
  }))
}

function grid(begin, end, wide, x) {
  const parts = LANES.flatMap((name, lane) => [
    svg("line", { class: "lane", x1: 0, x2: MARGIN + wide + PAD, y1: HEAD + (lane + 1) * LANE - 3, y2: HEAD + (lane + 1) * LANE - 3 }),
    svg("text", { x: 4, y: HEAD + lane * LANE + 16 }, name),
  ])
  const ticks = Math.max(2, Math.floor(wide / 160)), span = end - begin
  for (let tick = 0; tick <= ticks; tick += 1) {
    const at = begin + span * tick / ticks
    const text = span > 300 ? clock(at) : `+${(at - begin).toFixed(span > 20 ? 0 : span > 2 ? 1 : 2)} s`
    parts.push(svg("text", { x: x(at), y: 11, "text-anchor": tick === 0 ? "start" : "middle" }, text))
  }
  return parts
}
