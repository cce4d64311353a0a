// How a socket ended: in words, and how bad that is.

const WORDS = {
  1000: "closed normally", 1001: "the page was left, or its tab closed", 1002: "a breach of the WebSocket protocol", 1003: "data that the other side does not take",
  1005: "closed without a code", 1006: "lost without a close frame", 1007: "text that was not UTF-8", 1008: "against a policy", 1009: "a message that was too long",
  1010: "an extension was missing", 1011: "an error in the server", 1012: "restarting; the client comes back", 1013: "busy; the client tries again later", 1014: "no answer from the server behind",
}
const SIDES = { client: "the browser", backend: "the app", gateway: "livegate", server: "the server" }
const NORMAL = [1000, 1001, 1005], PASSING = [1001, 1005, 1012, 1013], FIRST_OF_APPS = 3000
export const OPEN = "open", QUIET = "quiet", WARN = "warn", BAD = "bad"
export const SIGNS = { [BAD]: ["✕", "a problem"], [WARN]: ["!", "worth a look"] }

// connection: as the API tells of it. Returns OPEN, QUIET, WARN or BAD.
export function toneOf(connection) {
  const { close_code: code, closed_at: at, closed_by: by } = connection
  if (at === null) return OPEN
  if (code === null || code === 1000) return QUIET
  if (by === "client") return NORMAL.includes(code) ? QUIET : code === 1006 || code >= FIRST_OF_APPS ? WARN : BAD
  return PASSING.includes(code) || code >= FIRST_OF_APPS ? WARN : BAD
}

export function sideOf(connection) {
  return SIDES[connection.closed_by] || ""
}

// "1006 by the app: lost without a close frame"
export function endingOf(connection) {
  const { close_code: code, close_reason: reason } = connection, side = sideOf(connection)
  if (connection.closed_at === null) return "open"
  const words = WORDS[code] || (code >= FIRST_OF_APPS ? "a code of the app's own" : "")
  return [`${code === null ? "ended" : code}${side ? ` by ${side}` : ""}`, [words, reason && `“${reason}”`].filter(Boolean).join(", ")].filter(Boolean).join(": ")
}
