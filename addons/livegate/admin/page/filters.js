// What of a session's list is shown: a search, chips for kinds, a view, problems only; kept in the address.
import { el, count } from "./dom.js"
import { KINDS } from "./rows.js"

const SEARCH_AFTER_MS = 200

export class Filters {
  // changed() when what is shown is another; search(text) gives the numbers of frames whose content has the text
  constructor(changed, search) {
    Object.assign(this, { changed, search, kinds: new Set(), view: "", wrong: false, words: [], found: new Set(), timer: null })
    this.box = el("input", { type: "search", placeholder: "Search frames  ( / )", "aria-label": "Search frames", maxlength: 200, oninput: () => this.typed() })
    this.chips = KINDS.map(([kind, title]) => el("button", { class: "chip", "aria-pressed": "false", onclick: () => this.toggle(kind) }, title, el("span", { class: "num" })))
    this.trouble = el("button", { class: "chip trouble", "aria-pressed": "false", onclick: () => { this.wrong = !this.wrong; this.drawn() } }, "Problems", el("span", { class: "num" }))
    this.choice = el("select", { "aria-label": "View", onchange: () => { this.view = this.choice.value; this.drawn() } })
    this.told = el("span", { class: "note num", role: "status" })
    this.root = el("div", { class: "filters" }, el("div", { class: "bar" }, this.box, this.choice, this.told), el("div", { class: "chips", role: "group", "aria-label": "Only" }, this.chips, this.trouble))
  }

  get active() {
    return this.words.length > 0 || this.kinds.size > 0 || this.view !== "" || this.wrong
  }

  // As in the address: q, show, view, wrong.
  toQuery() {
    const query = new URLSearchParams()
    if (this.box.value.trim()) query.set("q", this.box.value.trim())
    if (this.kinds.size) query.set("show", [...this.kinds].join(","))
    if (this.view) query.set("view", this.view)
    if (this.wrong) query.set("problems", "1")
    return query.toString()
  }

  fromQuery(text) {
    const query = new URLSearchParams(text), known = KINDS.map(([kind]) => kind)
    this.kinds = new Set((query.get("show") || "").split(",").filter(kind => known.includes(kind)))
    Object.assign(this, { view: query.get("view") || "", wrong: query.get("problems") === "1" })
    this.box.value = query.get("q") || ""
    this.typed()
    this.drawn()
  }

  clear() {
    this.fromQuery("")
  }

  toggle(kind) {
    if (!this.kinds.delete(kind)) this.kinds.add(kind)
    this.drawn()
  }

  drawn() {
    this.chips.forEach((chip, place) => chip.setAttribute("aria-pressed", this.kinds.has(KINDS[place][0])))
    this.trouble.setAttribute("aria-pressed", this.wrong)
    this.changed()
  }

  // Sentences and names are searched at once, contents by the gateway a little later.
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
      }, SEARCH_AFTER_MS)
    }
    this.changed()
  }

  // How many there are of each kind, which views there are, and how many rows of how many are shown.
  tell(rows, shown, problems) {
    const tally = new Map()
    for (const row of rows) tally.set(row.kind, (tally.get(row.kind) || 0) + 1)
    this.chips.forEach((chip, place) => {
      const number = tally.get(KINDS[place][0]) || 0
      chip.lastChild.textContent = count(number)
      chip.hidden = number === 0 && !this.kinds.has(KINDS[place][0])
    })
    this.trouble.lastChild.textContent = count(problems)
    this.trouble.hidden = problems === 0 && !this.wrong
    const views = [...new Set(rows.map(row => row.view).filter(Boolean))].sort()
    if (this.view && !views.includes(this.view)) views.push(this.view)
    if (this.choice.options.length !== views.length + 1 || views.some((view, place) => this.choice.options[place + 1].value !== view)) {
      this.choice.replaceChildren(el("option", { value: "" }, "all views"), ...views.map(view => el("option", { value: view }, view)))
    }
    this.choice.value = this.view
    this.choice.hidden = views.length < 2 && !this.view
    this.told.textContent = this.active ? `${count(shown)} of ${count(rows.length)}` : ""
  }
}
