// Small helpers: elements from values, never from text that could be markup; numbers as people read them.

export const SVG = "http://www.w3.org/2000/svg"

export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children)
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children)
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value)
    else if (key === "style") element.style.cssText = value
    else element.setAttribute(key, value === true ? "" : value)
  }
  element.append(...children.flat(2).filter(child => child !== null && child !== undefined))
  return element
}

// `names` in backticks as code elements
export function code(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part))
}

export function ms(value) {
  if (value === null || value === undefined) return "–"
  if (value < 1) return `${value.toFixed(2)} ms`
  if (value < 100) return `${value.toFixed(1)} ms`
  return value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`
}

export function bytes(value) {
  if (value < 1024) return `${value} B`
  return value < 1048576 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / 1048576).toFixed(1)} MiB`
}

export function age(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min` : `${Math.floor(seconds / 86400)} d`
}

const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })

export function clock(at, fraction = false) {
  const date = new Date(at * 1000), text = TIME.format(date)
  return fraction ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text
}

const NUMBER = new Intl.NumberFormat("en")

export function count(value) {
  return NUMBER.format(value)
}

export function summed(counters) {
  const sums = {}
  for (const counter of counters) for (const [key, value] of Object.entries(counter)) sums[key] = (sums[key] || 0) + value
  return sums
}
