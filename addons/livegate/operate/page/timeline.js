// One session over time: a lane for each kind of thing, events as bars from the push to its answer, all to one scale.
import { svg, ms, clock } from "./dom.js"

const LANES = ["HTTP", "Socket", "Joins", "Events", "Server diffs", "Heartbeats", "Crashes"]
const HTTP = 0, SOCKET = 1, JOINS = 2, EVENTS = 3, SERVER = 4, HEARTBEATS = 5, CRASHES = 6
const LANE = 26, HEAD = 18, MARGIN = 96, PAD = 28, LEAST = 4
const COLOURS = ["var(--c2)", "var(--c1)", "var(--c1)", "var(--c0)", "var(--c4)", "var(--c5)", "var(--bad)"]
const UNANSWERED = ["crash", "closed", "left", "forgotten"]

function laneOf(line) {
  if (line.what === "heartbeat") return HEARTBEATS
  if (line.what === "crash" || line.what === "refused") return CRASHES
  if (["join", "joined", "redirected", "leave", "close"].includes(line.what)) return JOINS
  return line.what === "diff" || (line.what === "push" && line.dir === "down") ? SERVER : EVENTS
}

// Frames become bars (an answer with its push) and ticks; a push that has an answer is not drawn twice.
function bars(frames, detail) {
  const answered = new Set(frames.filter(line => line.ms !== null && line.dir === "down").map(line => `${line.socket} ${line.ref}`))
  const lost = new Map(detail.list.filter(event => UNANSWERED.includes(event.outcome)).map(event => [`${event.ref} ${event.at}`, event.outcome]))
  return frames.filter(line => !(line.dir === "up" && line.ref && answered.has(`${line.socket} ${line.ref}`))).map(line => {
    const lane = laneOf(line), outcome = line.dir === "up" ? lost.get(`${line.ref} ${line.at}`) : null
    const from = line.dir === "down" && line.ms ? line.at - line.ms / 1000 : line.at
    const bad = lane === CRASHES || outcome || line.outcome === "error"
    return { lane, from, to: line.at, colour: bad ? COLOURS[CRASHES] : COLOURS[lane], title: outcome ? `${line.text}: no answer (${outcome})` : line.text, line }
  })
}

function httpBars(detail) {
  return detail.http.map(one => ({
    lane: HTTP, from: one.at, to: one.at + one.ms / 1000, colour: one.status && one.status < 400 ? COLOURS[HTTP] : COLOURS[CRASHES],
    title: `${one.method} ${one.path} ${one.status ?? "no answer"} after ${ms(one.ms)}`,
  }))
}

function socketBars(detail) {
  return detail.connections.flatMap((one, place) => {
    const clean = !one.closed_at || one.close_code === 1000 || one.close_code === 1001
    const end = one.closed_at ? `closed with ${one.close_code ?? "no code"} by ${one.closed_by} ${one.close_reason}` : "open"
    const bar = { lane: SOCKET, from: one.opened_at, to: one.closed_at || detail.last, colour: clean ? COLOURS[SOCKET] : COLOURS[CRASHES], title: `${one.transport}, ${end}` }
    return place ? [bar, { lane: CRASHES, from: one.opened_at, to: one.opened_at, colour: COLOURS[HTTP], title: `reconnect ${place}` }] : [bar]
  })
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

// width: of the window onto it, in CSS pixels; choose(frame number) when one is clicked
export function timeline(detail, frames, selected, zoom, width, choose) {
  const drawn = [...httpBars(detail), ...socketBars(detail), ...bars(frames, detail)]
  const begin = drawn.reduce((least, one) => Math.min(least, one.from), detail.opened)
  const end = drawn.reduce((most, one) => Math.max(most, one.to), Math.max(detail.last, begin + 0.5))
  const wide = Math.max(200, width - MARGIN - PAD) * zoom
  const x = at => MARGIN + (at - begin) / (end - begin) * wide
  const shapes = drawn.map(one => {
    const chosen = one.line !== undefined && one.line.n === selected
    const shape = svg("rect", {
      class: one.line === undefined ? "item" : chosen ? "item frame chosen" : "item frame", x: x(one.from).toFixed(1), y: HEAD + one.lane * LANE + 4,
      width: Math.max(LEAST, x(one.to) - x(one.from)).toFixed(1), height: LANE - 12, rx: 3, fill: one.colour,
    }, svg("title", {}, one.title))
    if (one.line !== undefined) shape.addEventListener("click", () => choose(one.line.n))
    return shape
  })
  const current = frames.find(line => line.n === selected), bottom = HEAD + LANES.length * LANE
  const cursor = current ? x(current.at) : null
  const label = `Timeline of session ${detail.number}: ${frames.length} frames, ${detail.http.length} HTTP requests, ${detail.connections.length} sockets`
  const picture = svg("svg", { width: MARGIN + wide + PAD, height: bottom + 4, role: "img", "aria-label": label },
    grid(begin, end, wide, x), shapes, cursor === null ? null : svg("line", { class: "cursor", x1: cursor, x2: cursor, y1: 14, y2: bottom }))
  return { picture, cursor }
}
