// Filters of a session's list: search, kinds, view and problems only. They are kept in the address.
import { el, count } from "./dom.js"
import { KINDS } from "./rows.js"

const SEARCH_DELAY_MS = 200

export class Filters {
  // changed(): called after each change; search(text): returns the numbers of the frames whose content has the text
  constructor(changed, search) {
    Object.assign(this, { changed, search, kinds: new Set(), view: "", problemsOnly: false, words: [], found: new Set(), timer: null })
    this.box = el("input", { type: "search", placeholder: "Search frames ( / )", "aria-label": "Search frames", maxlength: 200, oninput: () => this.typed() })
    this.chips = KINDS.map(([kind, title]) => el("button", { class: "chip", "aria-pressed": "false", onclick: () => this.toggle(kind) }, title, el("span", { class: "num" })))
    this.problems = el("button", { class: "chip trouble", "aria-pressed": "false", onclick: () => { this.problemsOnly = !this.problemsOnly; this.apply() } }, "Problems", el("span", { class: "num" }))
    this.viewSelect = el("select", { "aria-label": "View", onchange: () => { this.view = this.viewSelect.value; this.apply() } })
    this.total = el("span", { class: "note num", role: "status" })
    this.root = el("div", { class: "filters" }, el("div", { class: "bar" }, this.box, this.viewSelect, this.total), el("div", { class: "chips", role: "group", "aria-label": "Kinds" }, this.chips, this.problems))
  }

  get active() {
    return this.words.length > 0 || this.kinds.size > 0 || this.view !== "" || this.problemsOnly
  }

  // As in the address: q, show, view, problems.
  toQuery() {
    const query = new URLSearchParams()
    if (this.box.value.trim()) query.set("q", this.box.value.trim())
    if (this.kinds.size) query.set("show", [...this.kinds].join(","))
    if (this.view) query.set("view", this.view)
    if (this.problemsOnly) query.set("problems", "1")
    return query.toString()
  }

  fromQuery(text) {
    const query = new URLSearchParams(text), known = KINDS.map(([kind]) => kind)
    this.kinds = new Set((query.get("show") || "").split(",").filter(kind => known.includes(kind)))
    Object.assign(this, { view: query.get("view") || "", problemsOnly: query.get("problems") === "1" })
    this.box.value = query.get("q") || ""
    this.typed()
    this.apply()
  }

  clear() {
    this.fromQuery("")
  }

  toggle(kind) {
    if (!this.kinds.delete(kind)) this.kinds.add(kind)
    this.apply()
  }

  apply() {
    this.chips.forEach((chip, index) => chip.setAttribute("aria-pressed", this.kinds.has(KINDS[index][0])))
    this.problems.setAttribute("aria-pressed", this.problemsOnly)
    this.changed()
  }

  // Search summaries and names at once, and content in the gateway after a pause in typing.
  typed() {
    const text = this.box.value.trim()
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean)
    this.found = new Set()
    clearTimeout(this.timer)
    if (text) {
      this.timer = setTimeout(async () => {
        const found = await this.search(text).catch(() => new Set())
        if (this.box.value.trim() !== text) return
        this.found = found
        this.changed()
      }, SEARCH_DELAY_MS)
    }
    this.changed()
  }

  // Update the counts and the list of views.
  update(rows, shown, problems) {
    const tally = new Map()
    for (const row of rows) tally.set(row.kind, (tally.get(row.kind) || 0) + 1)
    this.chips.forEach((chip, index) => {
      const number = tally.get(KINDS[index][0]) || 0
      chip.lastChild.textContent = count(number)
      chip.hidden = number === 0 && !this.kinds.has(KINDS[index][0])
    })
    this.problems.lastChild.textContent = count(problems)
    this.problems.hidden = problems === 0 && !this.problemsOnly
    const views = [...new Set(rows.map(row => row.view).filter(Boolean))].sort()
    if (this.view && !views.includes(this.view)) views.push(this.view)
    if (this.viewSelect.options.length !== views.length + 1 || views.some((view, index) => this.viewSelect.options[index + 1].value !== view)) {
      this.viewSelect.replaceChildren(el("option", { value: "" }, "All views"), ...views.map(view => el("option", { value: view }, view)))
    }
    this.viewSelect.value = this.view
    this.viewSelect.hidden = views.length < 2 && !this.view
    this.total.textContent = this.active ? `${count(shown)} of ${count(rows.length)}` : ""
  }
}
