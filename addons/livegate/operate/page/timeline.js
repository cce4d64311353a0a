// One session over time: a lane for each kind of thing, events as bars from the push to its answer.
import { svg, ms, clock } from "./dom.js"

const LANES = ["HTTP", "Socket", "Joins", "Events", "Server", "Heartbeats"]
const LANE = 26, MARGIN = 84, PAD = 24
const COLOURS = { join: "var(--c1)", event: "var(--c0)", diff: "var(--c4)", heartbeat: "var(--c5)", bad: "var(--bad)", http: "var(--c2)", upload: "var(--c3)" }

function laneOf(line) {
  if (line.what === "heartbeat") return 5
  if (["join", "joined", "refused", "leave"].includes(line.what)) return 2
  if (["diff", "push", "close", "crash"].includes(line.what) && line.dir === "down") return 4
  return 3
}

function colour(line) {
  if (["crash", "refused"].includes(line.what) || (line.outcome && !["ok", "pending"].includes(line.outcome))) return COLOURS.bad
  return { 2: COLOURS.join, 4: COLOURS.diff, 5: COLOURS.heartbeat }[laneOf(line)] || (line.what === "upload" ? COLOURS.upload : COLOURS.event)
}

// Frames become bars (an answer with its push) and ticks; a push with an answer is not drawn twice.
function items(frames) {
  const answered = new Set(frames.filter(line => line.ms !== null && line.ms !== undefined && line.dir === "down").map(line => `${line.socket} ${line.ref}`))
  return frames.filter(line => !(line.dir === "up" && line.ref && answered.has(`${line.socket} ${line.ref}`)))
    .map(line => ({ line, lane: laneOf(line), from: line.dir === "down" && line.ms ? line.at - line.ms / 1000 : line.at, to: line.at }))
}

export function timeline(detail, frames, selected, zoom, width, choose) {
  const drawn = items(frames)
  const begins = [detail.opened, ...detail.http.map(one => one.at), ...drawn.map(one => one.from)]
  const ends = [detail.last, ...detail.http.map(one => one.at + one.ms / 1000), ...detail.connections.map(one => one.closed_at || 0)]
  const begin = Math.min(...begins.slice(0, 1), ...begins.slice(1)), end = Math.max(...ends, begin + 0.5)
  const wide = Math.max(300, (width - MARGIN - PAD) * zoom)
  const x = at => MARGIN + (at - begin) / (end - begin) * wide
  const y = lane => 18 + lane * LANE
  const parts = LANES.map((name, lane) => [
    svg("line", { class: "lane", x1: 0, x2: MARGIN + wide + PAD, y1: y(lane) + LANE - 3, y2: y(lane) + LANE - 3 }),
    svg("text", { x: 4, y: y(lane) + 16 }, name),
  ]).flat()
  const ticks = Math.max(2, Math.floor(wide / 160))
  for (let tick = 0; tick <= ticks; tick += 1) {
    const at = begin + (end - begin) * tick / ticks
    parts.push(svg("text", { x: x(at), y: 11, "text-anchor": tick ? "middle" : "start" }, end - begin > 300 ? clock(at) : `+${(at - begin).toFixed(end - begin > 20 ? 0 : 1)} s`))
  }
  for (const one of detail.http) {
    parts.push(bar(x(one.at), y(0), Math.max(3, x(one.at + one.ms / 1000) - x(one.at)), one.status && one.status < 400 ? COLOURS.http : COLOURS.bad, `${one.method} ${one.path} ${one.status ?? "no answer"} after ${ms(one.ms)}`))
  }
  for (const one of detail.connections) {
    const until = one.closed_at || detail.last
    parts.push(bar(x(one.opened_at), y(1), Math.max(3, x(until) - x(one.opened_at)), one.closed_at && one.close_code !== 1000 ? COLOURS.bad : COLOURS.join,
      `${one.transport}, serializer ${one.vsn}${one.closed_at ? `, closed ${one.close_code ?? ""} by ${one.closed_by} ${one.close_reason}` : ", open"}`))
  }
  for (const { line, lane, from, to } of drawn) {
    const shape = bar(x(from), y(lane), Math.max(4, x(to) - x(from)), colour(line), line.text, line.n === selected)
    shape.classList.add("item")
    shape.addEventListener("click", () => choose(line.n))
    parts.push(shape)
  }
  const current = frames.find(line => line.n === selected)
  if (current) parts.push(svg("line", { class: "cursor", x1: x(current.at), x2: x(current.at), y1: 14, y2: y(LANES.length) }))
  return { picture: svg("svg", { width: MARGIN + wide + PAD, height: y(LANES.length) + 4, role: "img", "aria-label": `Timeline of session ${detail.number}: ${frames.length} frames` }, parts), cursor: current ? x(current.at) : null }
}

function bar(x, y, width, fill, title, chosen = false) {
  return svg("rect", { class: chosen ? "chosen" : null, x: x.toFixed(1), y: y + 4, width: width.toFixed(1), height: LANE - 12, rx: 3, fill }, svg("title", {}, title))
}
