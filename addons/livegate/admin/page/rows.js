// The rows of a session's list, as plain values: which there are, which are folded into one, which a filter leaves.
import { bytes, count, ms } from "./dom.js"
import { endingOf, toneOf, BAD, QUIET, WARN } from "./endings.js"

export const KINDS = [["event", "Events"], ["join", "Joins"], ["diff", "Diffs"], ["push", "Pushes"], ["upload", "Uploads"], ["heartbeat", "Heartbeats"], ["socket", "Sockets"]]
const OF_VIEWS = ["join", "joined", "redirected", "leave", "close", "refused", "crash"], OF_UPLOADS = ["upload", "chunk", "progress"]
const UNANSWERED = ["crash", "closed"], UNASKED = ["leave", "heartbeat"], BROKEN = ["crash", "refused", "broken"]
export const FOLDED = ["heartbeat", "upload"]
const LEAST_FOLDED = { heartbeat: 2, upload: 3 }, MOST_NAMES = 3

export function kindOf(line) {
  if (line.what === "heartbeat") return "heartbeat"
  if (line.what === "upload" || OF_UPLOADS.includes(line.push) || (line.view || "").startsWith("lvu:")) return "upload"
  if (OF_VIEWS.includes(line.what)) return "join"
  if (line.what === "diff") return "diff"
  return line.what === "event" || (line.what === "reply" && line.push !== "push") ? "event" : "push"
}

// The pushes whose answer was lost: a Map from `lostKey` of a line to what came instead.
export function lostOf(detail) {
  const lost = detail.list.filter(event => UNANSWERED.includes(event.outcome) && !UNASKED.includes(event.kind))
  return new Map(lost.map(event => [lostKey(event), event.outcome]))
}

export function lostKey(one) {
  return `${one.ref} ${one.at}`
}

// Ids of sockets that ended as they should: who closes a tab does not wait for answers.
export function partedOf(detail) {
  return new Set(detail.connections.filter(one => toneOf(one) === QUIET).map(one => one.id))
}

export function isBroken(line, lost, parted) {
  if (BROKEN.includes(line.what) || line.outcome === "error") return true
  const outcome = line.dir === "up" ? lost.get(lostKey(line)) : undefined
  return outcome === "crash" || (outcome === "closed" && !parted.has(line.socket))
}

// Everything that happened, in its order: frames, and each socket's opening and close, and incidents.
export function allRows(detail, frames) {
  const lost = lostOf(detail), parted = partedOf(detail), rows = []
  const others = [...socketRows(detail, frames), ...incidentRows(detail)].sort((a, b) => a.at - b.at)
  let next = 0
  for (const line of frames) {
    while (next < others.length && (others[next].at < line.at || (others[next].first && others[next].at === line.at))) rows.push(others[next++])
    const outcome = line.dir === "up" ? lost.get(lostKey(line)) : undefined
    const text = outcome ? `${line.text}: no answer (${outcome})` : line.text
    rows.push({ key: `frame/${line.n}`, at: line.at, kind: kindOf(line), tone: isBroken(line, lost, parted) ? BAD : "", text, view: line.view, line, words: `${text} ${line.event || ""} ${line.view || ""}`.toLowerCase() })
  }
  return rows.concat(others.slice(next))
}

function socketRows(detail, frames) {
  const firsts = new Map()
  for (const line of frames) if (!firsts.has(line.socket)) firsts.set(line.socket, line)
  return detail.connections.flatMap((connection, place) => {
    const first = firsts.get(connection.id), number = place + 1
    const opened = { key: `open/${number}`, at: first ? Math.min(connection.opened_at, first.at) : connection.opened_at, kind: "socket", tone: "", text: `socket ${number} opened, ${connection.transport}`, view: null, connection, number, first: true }
    const all = connection.closed_at === null ? [opened] : [opened, { ...opened, key: `close/${number}`, first: false, at: connection.closed_at, tone: toneOf(connection), text: `socket ${number} closed: ${endingOf(connection)}`, closed: true }]
    return all.map(row => ({ ...row, words: `${row.text} ${connection.close_reason}`.toLowerCase() }))
  })
}

function incidentRows(detail) {
  return detail.incidents.map(incident => {
    const text = `${incident.title}${incident.view ? ` · ${incident.view}` : ""}${incident.healed ? ` · ${incident.healed}` : ""}`
    return { key: `incident/${incident.number}`, at: incident.at, kind: "incident", tone: incident.healed ? WARN : BAD, text, view: incident.view || null, incident, words: `${text} ${incident.why}`.toLowerCase() }
  })
}

// filter: {words: [..], kinds: Set, view: "" or a label, wrong: bool, found: Set of numbers of frames whose content has the words}
export function filtered(rows, filter) {
  return rows.filter(row => {
    if (filter.wrong && row.tone !== BAD && row.tone !== WARN) return false
    if (filter.kinds.size && !filter.kinds.has(row.kind) && row.kind !== "incident") return false
    if (filter.view && row.view !== filter.view) return false
    return !filter.words.length || filter.words.every(word => row.words.includes(word)) || (row.line !== undefined && filter.found.has(row.line.n))
  })
}

// Runs of heartbeats and of an upload's frames become one row each; what is inside follows when its key is in `opened`.
export function folded(rows, opened, uploads) {
  const shown = []
  for (let start = 0, end; start < rows.length; start = end) {
    const { kind } = rows[start]
    end = start + 1
    if (foldable(rows[start])) while (end < rows.length && rows[end].kind === kind && foldable(rows[end])) end += 1
    if (end - start < (LEAST_FOLDED[kind] || 2)) { shown.push(...rows.slice(start, end)); continue }
    const inside = rows.slice(start, end), key = `${kind}/${inside[0].line.n}`, open = opened.has(key)
    shown.push({ key, at: inside[0].at, kind, tone: QUIET, text: foldText(kind, inside.map(row => row.line), uploads), inside, open })
    if (open) shown.push(...inside.map(row => ({ ...row, nested: true })))
  }
  return shown
}

function foldable(row) {
  return row.line !== undefined && FOLDED.includes(row.kind) && !row.tone
}

function foldText(kind, lines, uploads) {
  const frames = `${count(lines.length)} frames`
  if (kind === "heartbeat") {
    const trips = lines.filter(line => line.dir === "down" && line.ms !== null).map(line => line.ms)
    const sent = lines.filter(line => line.dir === "up").length
    return `${sent} heartbeat${sent === 1 ? "" : "s"}${trips.length ? `, answered within ${ms(Math.max(...trips))}` : ""}`
  }
  const chunks = lines.filter(line => line.dir === "up" && line.push === "chunk"), size = chunks.reduce((sum, line) => sum + line.size, 0)
  const names = uploads.map(upload => upload.name).filter(name => lines.some(line => line.text.includes(name)))
  const what = names.length ? `${names.slice(0, MOST_NAMES).join(", ")}${names.length > MOST_NAMES ? " and more" : ""}` : "a file"
  return `upload of ${what}: ${chunks.length ? `${bytes(size)} in ${count(chunks.length)} chunk${chunks.length === 1 ? "" : "s"}, ` : ""}${frames} in ${ms((lines[lines.length - 1].at - lines[0].at) * 1000)}`
}

// The row that is a frame, or has it inside.
export function rowOfFrame(rows, number) {
  let holder = -1
  for (let at = 0; at < rows.length; at += 1) {
    const { line, inside } = rows[at]
    if (line !== undefined && line.n === number) return at
    if (inside && inside[0].line.n <= number && inside[inside.length - 1].line.n >= number && inside.some(row => row.line.n === number)) holder = at
  }
  return holder
}

// The next (by = 1) or previous (-1) row with a problem, from a place in the list; -1 when there is none.
export function problemFrom(rows, at, by) {
  for (let place = at + by; place >= 0 && place < rows.length; place += by) if (rows[place].tone === BAD || rows[place].kind === "incident") return place
  return -1
}
