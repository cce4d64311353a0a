// Table of sessions, virtualized: only visible rows have elements.
import { el, ms, age, count } from "./dom.js"

const ROW = 32, TALL_ROW = 48, ROW_OVERSCAN = 6 // heights as in app.css
const SMALL = matchMedia("(max-width: 620px)")
const COLUMNS = [
  ["number", "#", true], ["service", "Service", false], ["name", "View", false], ["path", "Path", false], ["opened", "Age", true],
  ["events", "Events", true], ["p95", "p95", true], ["diff", "Diff KiB", true], ["state", "State", false],
]
const TEXTS = ["service", "name", "path", "state"]
const STATES = ["live", "crashed", "refused", "closed"]

export class Sessions {
  constructor(state, go) {
    Object.assign(this, { state, go, sort: "number", down: true, words: [], only: "", selected: null, pool: [], list: [], row: ROW })
    SMALL.addEventListener("change", () => this.changed())
    this.search = el("input", { type: "search", placeholder: "Filter by view, path, service or number ( / )", "aria-label": "Filter", oninput: () => this.filtered() })
    this.state_ = el("select", { "aria-label": "State", onchange: () => this.filtered() }, ["", ...STATES].map(value => el("option", { value }, value || "All states")))
    this.total = el("span", { class: "num", role: "status" })
    this.heads = COLUMNS.map(([key, title, numeric]) => el("div", { class: numeric ? "num" : null, role: "columnheader" }, el("button", { onclick: () => this.order(key) }, title)))
    this.space = el("div", { class: "space", role: "rowgroup" })
    this.rows = el("div", { class: "rows", role: "presentation", onfocusin: () => this.selected = this.focused()?.number ?? this.selected }, this.space)
    this.rows.addEventListener("scroll", () => this.paint(), { passive: true })
    this.grid = el("div", { class: "grid", role: "table", "aria-label": "Sessions", tabindex: -1, onkeydown: event => this.key(event) }, el("div", { role: "rowgroup" }, el("div", { class: "grid-head", role: "row" }, this.heads)), this.rows)
    this.empty = el("p", { class: "empty" }, "No LiveView sessions yet. Open a page of an app through the gateway.")
    this.root = el("div", { class: "sessions" }, el("h1", { class: "unseen" }, "Sessions"), el("div", { class: "bar" }, this.search, this.state_, this.total), this.empty, this.grid)
  }

  filtered() {
    this.words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean)
    this.only = this.state_.value
    this.changed()
  }

  order(key) {
    this.down = this.sort === key ? !this.down : !TEXTS.includes(key)
    this.sort = key
    this.changed()
  }

  // Filter and sort again; called at most twice a second while rows arrive.
  changed() {
    const { words, only, sort: key } = this, sign = this.down ? -1 : 1
    this.list = []
    for (const row of this.state.sessions.values()) {
      if (!only || row.state === only) if (words.every(word => row.words.includes(word))) this.list.push(row)
    }
    const value = key === "opened" ? row => -row.opened : row => row[key] ?? -1
    this.list.sort((a, b) => {
      const x = value(a), y = value(b)
      return (x < y ? -1 : x > y ? 1 : a.number - b.number) * sign
    })
    COLUMNS.forEach(([name, title], index) => {
      const text = name === key ? `${title} ${this.down ? "↓" : "↑"}` : title
      if (this.heads[index].firstChild.textContent === text) return
      this.heads[index].firstChild.textContent = text
      this.heads[index].setAttribute("aria-sort", name !== key ? "none" : this.down ? "descending" : "ascending")
    })
    this.total.textContent = `${count(this.list.length)} of ${count(this.state.sessions.size)}`
    this.grid.setAttribute("aria-rowcount", this.list.length + 1)
    this.row = SMALL.matches ? TALL_ROW : ROW
    this.space.style.height = `${this.list.length * this.row}px`
    this.empty.hidden = this.state.sessions.size > 0
    this.grid.hidden = !this.empty.hidden
    this.paint()
  }

  // A row keeps its element while it is visible, so that scrolling changes only the rows that appear.
  paint() {
    const first = Math.max(0, Math.floor(this.rows.scrollTop / this.row) - ROW_OVERSCAN)
    const shown = Math.ceil((this.rows.clientHeight || 600) / this.row) + 2 * ROW_OVERSCAN
    while (this.pool.length < shown) this.pool.push(this.space.appendChild(this.newRow()))
    const now = Date.now() / 1000, size = this.pool.length, focused = this.focused()
    for (let index = first; index < first + size; index += 1) this.show(this.pool[index % size], this.list[index], index, now)
    if (focused) this.follow(focused.number)
  }

  focused() {
    const element = document.activeElement.closest(".row")
    return element && this.space.contains(element) ? element.row : null
  }

  // Keep the focus on its session when rows move. If that row is no longer visible, arrow keys continue from it.
  follow(number) {
    const element = this.pool.find(one => !one.hidden && one.row.number === number)
    const target = element ? element.texts[0] : this.grid
    if (target !== document.activeElement) target.focus({ preventScroll: true })
  }

  newRow() {
    const cells = COLUMNS.map(([, , numeric]) => el("span", { class: numeric ? "num" : null, role: "cell" }))
    const link = cells[0].appendChild(el("a"))
    return Object.assign(el("div", { class: "row", role: "row" }, cells), { texts: [link, ...cells.slice(1)], row: null, at: -1 })
  }

  show(element, row, index, now) {
    if (element.hidden !== (row === undefined)) element.hidden = row === undefined
    if (row === undefined) return
    const selected = row.number === this.selected
    if (element.at !== index || element.tall !== this.row) {
      element.style.transform = `translateY(${index * this.row}px)`
      element.setAttribute("aria-rowindex", index + 2)
      Object.assign(element, { at: index, tall: this.row })
    }
    if (element.selected !== selected) element.classList.toggle("selected", element.selected = selected)
    const opened = age(now - row.opened)
    if (element.row === row && element.opened === opened) return
    Object.assign(element, { row, opened })
    element.texts[0].href = `#/session/${row.number}`
    const texts = [row.number, row.service, row.name, row.path, opened, count(row.events), ms(row.p95), (row.diff / 1024).toFixed(1), row.state]
    texts.forEach((text, column) => {
      if (element.texts[column].textContent !== String(text)) element.texts[column].textContent = text
    })
    element.lastChild.className = `state ${row.state}`
  }

  key(event) {
    const page = Math.floor(this.rows.clientHeight / this.row) - 1
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key]
    if (step === undefined || !this.list.length) return
    event.preventDefault()
    const focused = this.focused()
    const at = this.list.findIndex(row => row.number === (focused ? focused.number : this.selected))
    const next = Math.min(this.list.length - 1, Math.max(0, at + step))
    this.selected = this.list[next].number
    if (next * this.row < this.rows.scrollTop) this.rows.scrollTop = next * this.row
    if ((next + 1) * this.row > this.rows.scrollTop + this.rows.clientHeight) this.rows.scrollTop = (next + 1) * this.row - this.rows.clientHeight
    this.paint()
    this.pool[next % this.pool.length].texts[0].focus({ preventScroll: true })
  }
}

// A session with its name and the words for the filter.
export function indexed(row) {
  const name = nameOf(row)
  return { ...row, name, words: `${row.number} ${row.service} ${name} ${row.path} ${row.state}`.toLowerCase() }
}

// Name of a session: the module of its view, the title of its page, or the topic of its channels.
export function nameOf(row) {
  return row.module ? row.view : row.title || (row.kind === "channels" ? row.view : "")
}
