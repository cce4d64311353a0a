// Rows of a session's list as plain values: made, filtered and folded.
import { bytes, count, ms } from "./dom.js"
import { closeText, toneOf, BAD, QUIET, WARN } from "./closes.js"

export const KINDS = [["event", "Events"], ["join", "Joins"], ["diff", "Diffs"], ["push", "Pushes"], ["upload", "Uploads"], ["heartbeat", "Heartbeats"], ["socket", "Sockets"]]
const OF_VIEWS = ["join", "joined", "redirected", "leave", "close", "refused", "crash"], OF_UPLOADS = ["upload", "chunk", "progress"]
const LOST = ["crash", "closed"], WITHOUT_REPLY = ["leave", "heartbeat"], BROKEN = ["crash", "refused", "broken"]
export const FOLDED = ["heartbeat", "upload"]
const LEAST_FOLDED = { heartbeat: 2, upload: 3 }, MAX_NAMES = 3

export function kindOf(line) {
  if (line.what === "heartbeat") return "heartbeat"
  if (line.what === "upload" || OF_UPLOADS.includes(line.push) || (line.view || "").startsWith("lvu:")) return "upload"
  if (OF_VIEWS.includes(line.what)) return "join"
  if (line.what === "diff") return "diff"
  return line.what === "event" || (line.what === "reply" && line.push !== "push") ? "event" : "push"
}

// Pushes whose reply was lost: a Map from `lostKey` of a line to the outcome.
export function lostOf(detail) {
  const lost = detail.list.filter(event => LOST.includes(event.outcome) && !WITHOUT_REPLY.includes(event.kind))
  return new Map(lost.map(event => [lostKey(event), event.outcome]))
}

export function lostKey(one) {
  return `${one.ref} ${one.at}`
}

// Ids of sockets that closed normally: a closed tab waits for no reply.
export function normallyClosed(detail) {
  return new Set(detail.connections.filter(one => toneOf(one) === QUIET).map(one => one.id))
}

export function isBroken(line, lost, normal) {
  if (BROKEN.includes(line.what) || line.outcome === "error") return true
  const outcome = line.dir === "up" ? lost.get(lostKey(line)) : undefined
  return outcome === "crash" || (outcome === "closed" && !normal.has(line.socket))
}

// All rows in the order of time: frames, opened and closed sockets, and incidents.
export function allRows(detail, frames) {
  const lost = lostOf(detail), normal = normallyClosed(detail), rows = []
  const others = [...socketRows(detail, frames), ...incidentRows(detail)].sort((a, b) => a.at - b.at)
  let next = 0
  for (const line of frames) {
    while (next < others.length && (others[next].at < line.at || (others[next].first && others[next].at === line.at))) rows.push(others[next++])
    const outcome = line.dir === "up" ? lost.get(lostKey(line)) : undefined
    const text = outcome ? `${line.text}: no reply (${outcome})` : line.text
    rows.push({ key: `frame/${line.n}`, at: line.at, kind: kindOf(line), tone: isBroken(line, lost, normal) ? BAD : "", text, view: line.view, line, words: `${text} ${line.event || ""} ${line.view || ""}`.toLowerCase() })
  }
  return rows.concat(others.slice(next))
}

function socketRows(detail, frames) {
  const firsts = new Map()
  for (const line of frames) if (!firsts.has(line.socket)) firsts.set(line.socket, line)
  return detail.connections.flatMap((connection, index) => {
    const first = firsts.get(connection.id), number = index + 1
    const opened = { key: `open/${number}`, at: first ? Math.min(connection.opened_at, first.at) : connection.opened_at, kind: "socket", tone: "", text: `socket ${number} opened, ${connection.transport}`, view: null, connection, number, first: true }
    const all = connection.closed_at === null ? [opened] : [opened, { ...opened, key: `close/${number}`, first: false, at: connection.closed_at, tone: toneOf(connection), text: `socket ${number} closed: ${closeText(connection)}`, closed: true }]
    return all.map(row => ({ ...row, words: `${row.text} ${connection.close_reason}`.toLowerCase() }))
  })
}

function incidentRows(detail) {
  return detail.incidents.map(incident => {
    const text = `${incident.title}${incident.view ? ` · ${incident.view}` : ""}${incident.healed ? ` · ${incident.healed}` : ""}`
    return { key: `incident/${incident.number}`, at: incident.at, kind: "incident", tone: incident.healed ? WARN : BAD, text, view: incident.view || null, incident, words: `${text} ${incident.why}`.toLowerCase() }
  })
}

// filter: {words: [..], kinds: Set, view: "" or a label, problemsOnly: bool, found: Set of frames whose content has the words}
export function filtered(rows, filter) {
  return rows.filter(row => {
    if (filter.problemsOnly && row.tone !== BAD && row.tone !== WARN) return false
    if (filter.kinds.size && !filter.kinds.has(row.kind) && row.kind !== "incident") return false
    if (filter.view && row.view !== filter.view) return false
    return !filter.words.length || filter.words.every(word => row.words.includes(word)) || (row.line !== undefined && filter.found.has(row.line.n))
  })
}

// Fold runs of heartbeats and of an upload's frames into one row each, followed by its frames if its key is in `opened`.
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
    return `${sent} heartbeat${sent === 1 ? "" : "s"}${trips.length ? `, max. round trip ${ms(Math.max(...trips))}` : ""}`
  }
  const chunks = lines.filter(line => line.dir === "up" && line.push === "chunk"), size = chunks.reduce((sum, line) => sum + line.size, 0)
  const names = uploads.map(upload => upload.name).filter(name => lines.some(line => line.text.includes(name)))
  const what = names.length ? `${names.slice(0, MAX_NAMES).join(", ")}${names.length > MAX_NAMES ? " and more" : ""}` : "a file"
  return `upload of ${what}: ${chunks.length ? `${bytes(size)} in ${count(chunks.length)} chunk${chunks.length === 1 ? "" : "s"}, ` : ""}${frames} in ${ms((lines[lines.length - 1].at - lines[0].at) * 1000)}`
}

// Index of the row of a frame, or of the folded row that contains it.
export function rowOfFrame(rows, number) {
  let holder = -1
  for (let at = 0; at < rows.length; at += 1) {
    const { line, inside } = rows[at]
    if (line !== undefined && line.n === number) return at
    if (inside && inside[0].line.n <= number && inside[inside.length - 1].line.n >= number && inside.some(row => row.line.n === number)) holder = at
  }
  return holder
}

// Index of the next (by = 1) or previous (-1) row with a problem, or -1.
export function problemFrom(rows, at, by) {
  for (let index = at + by; index >= 0 && index < rows.length; index += by) if (rows[index].tone === BAD || rows[index].kind === "incident") return index
  return -1
}
