// Thousands of sessions in a table; only the rows that can be seen exist.
import { el, ms, age, count } from "./dom.js"

const ROW = 32
const COLUMNS = [
  ["number", "#", true], ["service", "Service", false], ["view", "View", false], ["path", "Path", false], ["opened", "Age", true],
  ["events", "Events", true], ["p95", "p95", true], ["diff", "Diff KiB", true], ["state", "State", false],
]

export class Sessions {
  constructor(state, go) {
    this.state = state
    this.go = go
    this.sort = "number"
    this.down = true
    this.words = ""
    this.only = ""
    this.chosen = null
    this.pool = []
    this.build()
  }

  build() {
    this.search = el("input", { type: "search", placeholder: "Filter by view, path, service or number", "aria-label": "Filter", oninput: () => { this.words = this.search.value.toLowerCase(); this.changed() } })
    this.filter = el("select", { "aria-label": "State", onchange: () => { this.only = this.filter.value; this.changed() } },
      ...["", "live", "crashed", "refused", "closed"].map(value => el("option", { value }, value || "any state")))
    this.total = el("span", { class: "num", role: "status" })
    this.heads = COLUMNS.map(([key, title, numeric]) => el("div", { class: numeric ? "num" : null, role: "columnheader" },
      el("button", { onclick: () => this.order(key) }, title)))
    this.space = el("div", { class: "space", role: "presentation" })
    this.rows = el("div", { class: "rows", tabindex: 0, role: "rowgroup", "aria-label": "Sessions", onkeydown: event => this.key(event) }, this.space)
    this.rows.addEventListener("scroll", () => this.paint(), { passive: true })
    this.root = el("div", { class: "sessions" },
      el("div", { class: "bar" }, this.search, this.filter, this.total),
      el("div", { class: "grid-head", role: "row" }, this.heads), this.rows)
    this.empty = el("p", { class: "empty" }, "No LiveView session yet. Open a page of an app through the gateway, and it appears here.")
  }

  order(key) {
    this.down = this.sort === key ? !this.down : key !== "service" && key !== "view" && key !== "path"
    this.sort = key
    this.changed()
  }

  // Sorts and filters anew; called at most twice a second while rows arrive.
  changed() {
    const words = this.words.split(/\s+/).filter(Boolean), key = this.sort, sign = this.down ? -1 : 1
    this.list = [...this.state.sessions.values()].filter(row =>
      (!this.only || row.state === this.only) &&
      words.every(word => `${row.number} ${row.service} ${row.view} ${row.path} ${row.state}`.toLowerCase().includes(word)))
    const value = key === "opened" ? row => -row.opened : row => row[key]
    this.list.sort((a, b) => {
      const x = value(a) ?? -1, y = value(b) ?? -1
      return (x < y ? -1 : x > y ? 1 : a.number - b.number) * sign
    })
    COLUMNS.forEach(([name, title], index) => {
      const sorted = name === key
      this.heads[index].firstChild.textContent = sorted ? `${title} ${this.down ? "↓" : "↑"}` : title
      this.heads[index].setAttribute("aria-sort", sorted ? (this.down ? "descending" : "ascending") : "none")
    })
    this.total.textContent = `${count(this.list.length)} of ${count(this.state.sessions.size)}`
    this.space.style.height = `${this.list.length * ROW}px`
    if (this.state.sessions.size) this.empty.remove()
    else this.rows.append(this.empty)
    this.paint()
  }

  paint() {
    const first = Math.max(0, Math.floor(this.rows.scrollTop / ROW) - 4)
    const shown = Math.ceil((this.rows.clientHeight || 600) / ROW) + 8
    while (this.pool.length < shown) {
      const row = el("a", { class: "row", tabindex: -1 }, ...COLUMNS.map(([, , numeric]) => el("span", { class: numeric ? "num" : null })))
      this.pool.push(row)
      this.space.append(row)
    }
    const now = Date.now() / 1000
    this.pool.forEach((element, place) => {
      const row = place < shown ? this.list[first + place] : undefined
      element.hidden = row === undefined
      if (row !== undefined) this.show(element, row, first + place, now)
    })
  }

  show(element, row, index, now) {
    element.style.transform = `translateY(${index * ROW}px)`
    element.href = `#/session/${row.number}`
    element.classList.toggle("chosen", this.chosen === row.number)
    const texts = [row.number, row.service, row.view, row.path, age(now - row.opened), count(row.events), ms(row.p95), (row.diff / 1024).toFixed(1), row.state]
    texts.forEach((text, column) => {
      const cell = element.children[column]
      if (cell.textContent !== String(text)) cell.textContent = text
    })
    element.lastChild.className = `state ${row.state}`
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 }[event.key]
    if (event.key === "Enter" && this.chosen !== null) this.go(`#/session/${this.chosen}`)
    if (step === undefined || !this.list.length) return
    event.preventDefault()
    const at = this.list.findIndex(row => row.number === this.chosen)
    const next = Math.min(this.list.length - 1, Math.max(0, at + step))
    this.chosen = this.list[next].number
    if (next * ROW < this.rows.scrollTop) this.rows.scrollTop = next * ROW
    if ((next + 1) * ROW > this.rows.scrollTop + this.rows.clientHeight) this.rows.scrollTop = (next + 1) * ROW - this.rows.clientHeight
    this.paint()
  }
}
