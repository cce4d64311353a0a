// A list of thousands of rows of which only those in sight exist; a listbox that the keyboard walks.
import { el, clock } from "./dom.js"
import { SIGNS } from "./endings.js"

const WIDE_ROW = 28, NARROW_ROW = 46, BEYOND = 6
const NARROW = matchMedia("(max-width: 620px)")

export class Listing {
  // choose(row) when one is chosen, toggle(row) when one that is folded is opened or closed, enter(row)
  constructor(label, { choose, toggle, enter }) {
    Object.assign(this, { choose, toggle, enter, rows: [], at: -1, pool: [], height: WIDE_ROW })
    this.space = el("div", { class: "space", role: "presentation" })
    this.root = el("div", { class: "frame-list", role: "listbox", tabindex: 0, "aria-label": label, onkeydown: event => this.key(event), onclick: event => this.clicked(event) }, this.space)
    this.root.addEventListener("scroll", () => this.paint(), { passive: true })
    NARROW.addEventListener("change", () => this.resized())
    new ResizeObserver(() => this.paint()).observe(this.root)
  }

  // rows: of rows.js; at: the place of the chosen one, -1 for none. What is in sight stays where it is.
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

  // Scroll no more than it takes to see the chosen row.
  reveal() {
    if (this.at < 0) return
    const top = this.at * this.height, room = this.root.clientHeight
    if (top < this.root.scrollTop) this.root.scrollTop = top
    else if (top + this.height > this.root.scrollTop + room) this.root.scrollTop = top + this.height - room
    this.paint()
  }

  // Scroll the page as well, where the chosen row is beyond its edge.
  intoSight() {
    const current = this.pool.find(element => !element.hidden && element.place === this.at)
    if (current) current.scrollIntoView({ block: "nearest" })
  }

  toEnd() {
    this.root.scrollTop = this.rows.length * this.height
    this.paint()
  }

  // A row always has the same element while it is in sight: scrolling touches only what comes in.
  paint() {
    const shown = Math.ceil((this.root.clientHeight || 400) / this.height) + 2 * BEYOND
    while (this.pool.length < shown) this.pool.push(this.space.appendChild(made(this.pool.length)))
    const first = Math.max(0, Math.floor(this.root.scrollTop / this.height) - BEYOND), size = this.pool.length
    for (let place = first; place < first + size; place += 1) this.fill(this.pool[place % size], this.rows[place], place)
    const current = this.pool.find(element => !element.hidden && element.place === this.at)
    if (current) this.root.setAttribute("aria-activedescendant", current.id)
    else this.root.removeAttribute("aria-activedescendant")
  }

  fill(element, row, place) {
    element.hidden = row === undefined
    if (row === undefined) return
    const chosen = place === this.at
    element.style.transform = `translateY(${place * this.height}px)`
    element.place = place
    if (element.row !== row || element.chosen !== chosen || element.total !== this.rows.length) {
      element.setAttribute("aria-selected", chosen)
      element.setAttribute("aria-posinset", place + 1)
      element.setAttribute("aria-setsize", this.rows.length)
      element.className = ["line", row.kind, row.tone, chosen ? "chosen" : "", row.inside ? "fold" : "", row.nested ? "nested" : ""].filter(Boolean).join(" ")
    }
    if (element.row !== row) {
      const [number, time, mark, what, sign, said] = element.children
      const [shape, meaning] = markOf(row), [flag, told] = SIGNS[row.tone] || ["", ""]
      for (const [part, text] of [[number, numberOf(row)], [time, clock(row.at, true)], [mark, shape], [what, row.text], [sign, flag]]) if (part.textContent !== text) part.textContent = text
      mark.title = meaning
      what.title = row.text
      said.textContent = [meaning, told].filter(Boolean).join(", ")
    }
    Object.assign(element, { row, chosen, total: this.rows.length })
  }

  clicked(event) {
    const element = event.target.closest(".line")
    if (!element) return
    if (element.row.inside && event.target.closest(".mark")) this.toggle(element.row)
    else this.move(element.place)
  }

  move(place) {
    this.at = place
    this.choose(this.rows[place])
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

function made(number) {
  return el("div", { class: "line", role: "option", id: `line-${number}` }, ["num", "time mono", "mark", "what", "sign", "unseen"].map(kind => el("span", { class: kind, "aria-hidden": ["mark", "sign"].includes(kind) ? "true" : null })))
}

function numberOf(row) {
  if (row.line) return String(row.line.n)
  return row.inside ? `${row.inside[0].line.n}…` : ""
}

function markOf(row) {
  if (row.inside) return row.open ? ["▾", "unfolded"] : ["▸", "folded"]
  if (row.line) return row.line.dir === "up" ? ["▲", "to the server"] : ["▼", "to the browser"]
  if (row.kind === "incident") return ["⚠", "incident"]
  return row.closed ? ["■", "socket closed"] : ["●", "socket opened"]
}
