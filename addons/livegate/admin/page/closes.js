// Closes of sockets: their text and severity.

// Names of RFC 6455 section 7.4.1 and of IANA's registry.
const CLOSE_CODES = {
  1000: "normal closure", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1005: "no status code", 1006: "no close frame", 1007: "invalid UTF-8",
  1008: "policy violation", 1009: "message too big", 1010: "missing extension", 1011: "internal error", 1012: "service restart", 1013: "try again later", 1014: "bad gateway",
}
const SIDES = { client: "the browser", backend: "the app", gateway: "livegate", server: "the server" }
const NORMAL = [1000, 1001, 1005], PASSING = [1001, 1005, 1012, 1013], FIRST_APP_CODE = 3000
export const OPEN = "open", QUIET = "quiet", WARN = "warn", BAD = "bad"
export const SIGNS = { [BAD]: ["✕", "problem"], [WARN]: ["!", "warning"] }

// connection: as in the API. Returns OPEN, QUIET, WARN or BAD.
export function toneOf(connection) {
  const { close_code: code, closed_at: at, closed_by: by } = connection
  if (at === null) return OPEN
  if (code === null || code === 1000) return QUIET
  if (by === "client") return NORMAL.includes(code) ? QUIET : code === 1006 || code >= FIRST_APP_CODE ? WARN : BAD
  return PASSING.includes(code) || code >= FIRST_APP_CODE ? WARN : BAD
}

export function sideOf(connection) {
  return SIDES[connection.closed_by] || ""
}

// Such as "1006 by the app: no close frame".
export function closeText(connection) {
  const { close_code: code, close_reason: reason } = connection, side = sideOf(connection)
  if (connection.closed_at === null) return "open"
  const words = CLOSE_CODES[code] || (code >= FIRST_APP_CODE ? "application code" : "")
  return [`${code === null ? "ended" : code}${side ? ` by ${side}` : ""}`, [words, reason && `“${reason}”`].filter(Boolean).join(", ")].filter(Boolean).join(": ")
}
