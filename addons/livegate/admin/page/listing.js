// Virtualized listbox: only visible rows have elements.
import { el, clock } from "./dom.js"
import { SIGNS } from "./closes.js"

const WIDE_ROW = 28, NARROW_ROW = 46, OVERSCAN = 6
const NARROW = matchMedia("(max-width: 620px)")

export class Listing {
  // select(row), toggle(row) for a folded row, and enter(row) are called for the keyboard and the mouse.
  constructor(label, { select, toggle, enter }) {
    Object.assign(this, { select, toggle, enter, rows: [], at: -1, pool: [], height: WIDE_ROW })
    this.space = el("div", { class: "space", role: "presentation" })
    this.root = el("div", { class: "frame-list", role: "listbox", tabindex: 0, "aria-label": label, onkeydown: event => this.key(event), onclick: event => this.clicked(event) }, this.space)
    this.root.addEventListener("scroll", () => this.paint(), { passive: true })
    NARROW.addEventListener("change", () => this.resized())
    new ResizeObserver(() => this.paint()).observe(this.root)
  }

  // rows: from rows.js; at: index of the selected one, or -1. Visible rows keep their position.
  show(rows, at) {
    const first = Math.floor(this.root.scrollTop / this.height), top = this.rows[first], rest = this.root.scrollTop - first * this.height
    this.rows = rows
    this.height = NARROW.matches ? NARROW_ROW : WIDE_ROW
    this.space.style.height = `${rows.length * this.height}px`
    if (top && rows[first] !== top) {
      const now = rows.findIndex(row => row.key === top.key)
      if (now >= 0 && now !== first) this.root.scrollTop = now * this.height + rest
    }
    this.point(at)
  }

  resized() {
    const at = this.at
    this.show(this.rows, at)
    this.reveal()
  }

  point(at) {
    this.at = at
    this.paint()
  }

  // Scroll as little as needed to show the selected row.
  reveal() {
    if (this.at < 0) return
    const top = this.at * this.height, room = this.root.clientHeight
    if (top < this.root.scrollTop) this.root.scrollTop = top
    else if (top + this.height > this.root.scrollTop + room) this.root.scrollTop = top + this.height - room
    this.paint()
  }

  // Scroll the page as well, if the selected row is outside of the window.
  scrollIntoView() {
    const current = this.pool.find(element => !element.hidden && element.index === this.at)
    if (current) current.scrollIntoView({ block: "nearest" })
  }

  toEnd() {
    this.root.scrollTop = this.rows.length * this.height
    this.paint()
  }

  // A row keeps its element while it is visible, so that scrolling changes only the rows that appear.
  paint() {
    const shown = Math.ceil((this.root.clientHeight || 400) / this.height) + 2 * OVERSCAN
    while (this.pool.length < shown) this.pool.push(this.space.appendChild(newLine(this.pool.length)))
    const first = Math.max(0, Math.floor(this.root.scrollTop / this.height) - OVERSCAN), size = this.pool.length
    for (let index = first; index < first + size; index += 1) this.fill(this.pool[index % size], this.rows[index], index)
    const current = this.pool.find(element => !element.hidden && element.index === this.at)
    if (current) this.root.setAttribute("aria-activedescendant", current.id)
    else this.root.removeAttribute("aria-activedescendant")
  }

  fill(element, row, index) {
    element.hidden = row === undefined
    if (row === undefined) return
    const selected = index === this.at
    element.style.transform = `translateY(${index * this.height}px)`
    element.index = index
    if (element.row !== row || element.selected !== selected || element.total !== this.rows.length) {
      element.setAttribute("aria-selected", selected)
      element.setAttribute("aria-posinset", index + 1)
      element.setAttribute("aria-setsize", this.rows.length)
      element.className = ["line", row.kind, row.tone, selected ? "selected" : "", row.inside ? "fold" : "", row.nested ? "nested" : ""].filter(Boolean).join(" ")
    }
    if (element.row !== row) {
      const [number, time, mark, what, sign, spoken] = element.children
      const [shape, meaning] = markOf(row), [flag, severity] = SIGNS[row.tone] || ["", ""]
      for (const [part, text] of [[number, numberOf(row)], [time, clock(row.at, true)], [mark, shape], [what, row.text], [sign, flag]]) if (part.textContent !== text) part.textContent = text
      mark.title = meaning
      what.title = row.text
      spoken.textContent = [meaning, severity].filter(Boolean).join(", ")
    }
    Object.assign(element, { row, selected, total: this.rows.length })
  }

  clicked(event) {
    const element = event.target.closest(".line")
    if (!element) return
    if (element.row.inside && event.target.closest(".mark")) this.toggle(element.row)
    else this.move(element.index)
  }

  move(index) {
    this.at = index
    this.select(this.rows[index])
    this.reveal()
  }

  key(event) {
    if (event.metaKey || event.ctrlKey || event.altKey || !this.rows.length) return
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.height) - 1)
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key]
    const row = this.rows[this.at]
    if (step !== undefined) this.move(Math.min(this.rows.length - 1, Math.max(0, this.at + step)))
    else if ((event.key === "Enter" || event.key === " ") && row) row.inside ? this.toggle(row) : this.enter(row)
    else return
    event.preventDefault()
    event.stopPropagation()
  }
}

function newLine(number) {
  return el("div", { class: "line", role: "option", id: `line-${number}` }, ["num", "time mono", "mark", "what", "sign", "unseen"].map(kind => el("span", { class: kind, "aria-hidden": ["mark", "sign"].includes(kind) ? "true" : null })))
}

function numberOf(row) {
  if (row.line) return String(row.line.n)
  return row.inside ? `${row.inside[0].line.n}…` : ""
}

function markOf(row) {
  if (row.inside) return row.open ? ["▾", "expanded"] : ["▸", "collapsed"]
  if (row.line) return row.line.dir === "up" ? ["▲", "to the server"] : ["▼", "to the browser"]
  if (row.kind === "incident") return ["⚠", "incident"]
  return row.closed ? ["■", "socket closed"] : ["●", "socket opened"]
}
