// View of one session: timeline, list of frames, and details of the selected one.
import { el, ms, bytes, age, clock, count } from "./dom.js"
import { Timeline } from "./timeline.js"
import { causeCard } from "./causes.js"
import { incidentFacts } from "./incident.js"
import { Details } from "./detail.js"
import { Filters } from "./filters.js"
import { Listing } from "./listing.js"
import { nameOf } from "./sessions.js"
import { allRows, filtered, folded, FOLDED, problemFrom, rowOfFrame } from "./rows.js"
import { BAD } from "./closes.js"

const MAX_ZOOM = 512, ADDRESS_DELAY_MS = 150, SEARCH_PAGE_SIZE = 500

export class SessionView {
  // fetchFrame(number): returns a frame with its pages; search(text, from): the frames whose content has the text;
  // go(hash, replace): navigates; exported: whether there is no gateway
  constructor(number, { fetchFrame, search, go, exported }) {
    Object.assign(this, { number, fetchFrame, go, exported, frames: [], all: [], rows: [], opened: new Set(), detail: null, selected: null, zoom: 1, follow: true, requested: null, fetching: false, timer: null })
    this.facts = el("div", { class: "facts" })
    this.title = el("h1", {}, `Session ${number}`)
    this.problems = el("div", { class: "cards" })
    this.timeline = new Timeline(key => this.select(key, true))
    this.filters = new Filters(() => this.refiltered(), text => this.searched(search, text))
    this.listing = new Listing("Frames", { select: row => this.select(row.key), toggle: row => this.toggle(row), enter: () => this.details.summary.focus() })
    this.empty = el("p", { class: "empty" })
    this.details = new Details()
    const button = (act, title, label, ...parts) => el("button", { onclick: act, title, "aria-label": label }, parts)
    const word = text => el("span", { class: "word" }, text)
    this.back = button(() => this.step(-1), "Left arrow", "back", "←", word(" back"))
    this.forward = button(() => this.step(1), "Right arrow", "forward", word("forward "), "→")
    this.previousProblem = button(() => this.problem(-1), "p or k", "previous problem", "↑ ✕", word(" problem"))
    this.nextProblem = button(() => this.problem(1), "n or j", "next problem", "↓ ✕", word(" problem"))
    this.live = exported ? null : el("button", { "aria-pressed": "true", onclick: () => this.followed(!this.follow), title: "Always show the newest frame" }, "Follow")
    this.where = el("span", { class: "num", role: "status" })
    const zoom = [["+", "Zoom in", 2], ["−", "Zoom out", .5]].map(([text, label, by]) => el("button", { onclick: () => this.scale(by), "aria-label": label, title: text }, text))
    this.root = el("div", { class: "session" },
      el("div", { class: "card" }, el("header", {}, this.title, exported ? el("p", { class: "note" }, "exported") : this.download()), this.facts),
      this.problems, el("section", { class: "card" }, el("h2", { class: "unseen" }, "Timeline"), this.timeline.root),
      el("div", { class: "bar steps" }, this.back, this.forward, this.previousProblem, this.nextProblem, el("span", { class: "where" }, this.live, this.where), el("span", { class: "zoom" }, zoom)),
      el("div", { class: "split" }, el("section", { class: "card list" }, el("h2", { class: "unseen" }, "Frames"), this.filters.root, this.empty, this.listing.root),
        this.details.root))
  }

  set style(value) {
    this.details.style = value
  }

  download() {
    return el("a", { class: "button", href: `api/v1/sessions/${this.number}/export`, "aria-label": "Export as one file", download: "" }, "Export", el("span", { class: "word" }, " as one file"))
  }

  // Apply a change: the session without its frames, and its new frames.
  update(detail, lines) {
    const known = this.frames.length ? this.frames[this.frames.length - 1].n : -1
    this.frames.push(...lines.filter(line => line.n > known))
    const gone = this.frames.findIndex(line => line.n >= detail.frames.first)
    this.frames.splice(0, gone < 0 ? this.frames.length : gone)
    const last = this.frames[this.frames.length - 1]
    this.all = allRows(detail, this.frames)
    if (this.follow && last) this.selected = `frame/${last.n}`
    const first = this.detail === null
    this.detail = detail
    this.draw()
    if (first && !this.follow) this.jump(this.selected)
    this.fetchSelection()
  }

  showError(message) {
    this.root.replaceChildren(el("p", { class: "empty" }, message))
  }

  draw() {
    const one = this.detail
    this.title.textContent = [nameOf(one), one.path || (one.kind === "channels" ? "" : "no page")].filter(Boolean).join(" ") + ` · session ${one.number}`
    const facts = [["service", one.service], ["state", one.state], ["LiveView", one.version || ""], ["transport", one.transport], ["age", age(Date.now() / 1000 - one.opened)],
      ["events", count(one.events)], ["p50", ms(one.p50)], ["p95", ms(one.p95)], ["heartbeat", ms(one.heartbeat)], ["diffs", bytes(one.diff)], ["crashes", one.crashes],
      ["rejoins", one.rejoins], ["without reply", one.unanswered], ["sockets", one.sockets]]
    this.facts.replaceChildren(...facts.filter(([, value]) => value !== "" && value !== 0 && value !== "–").map(([name, value]) => el("span", {}, `${name} `, el("b", {}, String(value)))))
    const shown = JSON.stringify(one.incidents.map(each => [each.number, each.healed, each.times]))
    if (shown !== this.shownIncidents) this.problems.replaceChildren(...this.incidentCards(one.incidents)) // only then, to keep the focus
    this.shownIncidents = shown
    this.problems.hidden = !this.problems.childElementCount
    this.drawTimeline()
    this.drawList(false)
    if (this.follow) this.listing.toEnd()
  }

  // One card per kind of incident, with links into the list.
  incidentCards(incidents) {
    const kinds = new Map()
    for (const incident of incidents) kinds.set(incident.slug, [incident, ...(kinds.get(incident.slug) || [])])
    return [...kinds.values()].map(list => {
      const moments = list.map(one => el("li", {}, el("button", { class: "jump", onclick: () => this.jump(`incident/${one.number}`) }, clock(one.at, true)), el("span", { class: "note" }, incidentFacts(one).join(" · "))))
      return causeCard(list[0], list.length, el("ul", { class: "moments", tabindex: 0, "aria-label": `Occurrences: ${list[0].title}` }, moments), list.every(one => one.healed))
    })
  }

  drawTimeline() {
    this.timeline.draw(this.detail, this.frames, this.zoom)
    this.timeline.select(this.selectedNumber() === null ? this.selected : `frame/${this.selectedNumber()}`)
  }

  // reveal: scroll to the selection
  drawList(reveal) {
    const matching = filtered(this.all, this.filters)
    this.rows = folded(matching, this.opened, this.detail.uploads)
    this.filters.update(this.all, matching.length, this.all.filter(row => row.tone === BAD).length)
    const at = this.position()
    this.listing.show(this.rows, at)
    if (reveal) this.listing.reveal()
    this.empty.hidden = this.rows.length > 0
    this.empty.replaceChildren(...(this.filters.active ? ["No matches. ", el("button", { onclick: () => this.filters.clear() }, "Clear filters")] : ["No frames of this session are recorded."]))
    const { first, end } = this.detail.frames, number = this.selectedNumber()
    const range = end > first ? `${first}–${end - 1}` : "none"
    this.where.textContent = number === null ? `frames ${range}` : `frame ${number} of ${range}`
    this.back.disabled = at <= 0 && !this.neighbour(-1)
    this.forward.disabled = !this.neighbour(1)
    const { previousProblem, nextProblem } = this
    for (const [button, by] of [[previousProblem, -1], [nextProblem, 1]]) button.disabled = problemFrom(this.rows, at, by) < 0
    if (this.live) {
      this.live.setAttribute("aria-pressed", this.follow)
      this.live.hidden = this.detail.state === "closed"
    }
  }

  // Index of the selection in the list; -1 if it is filtered out.
  position() {
    const number = this.selectedNumber(), at = this.rows.findIndex(row => row.key === this.selected)
    return at >= 0 || number === null ? at : rowOfFrame(this.rows, number)
  }

  // Number of the selected frame, or of the first in a folded row; null for another selection.
  selectedNumber() {
    const [kind, number] = (this.selected || "").split("/")
    return ["frame", ...FOLDED].includes(kind) ? Number(number) : null
  }

  toggle(row) {
    if (!this.opened.delete(row.key)) this.opened.add(row.key)
    this.drawList(false)
    this.listing.reveal()
  }

  refiltered() {
    if (!this.detail) return
    this.drawList(true)
    this.updateAddress()
  }

  async searched(search, text) {
    const found = new Set()
    for (let from = this.detail ? this.detail.frames.first : 0; this.detail && from < this.detail.frames.end; from += SEARCH_PAGE_SIZE) {
      for (const line of await search(text, from)) found.add(line.n)
    }
    return found
  }

  scale(by) {
    this.zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * by))
    if (this.detail) this.drawTimeline()
  }

  // The next (by = 1) or previous (-1) row after filtering; folded rows are included.
  neighbour(by) {
    const matching = filtered(this.all, this.filters), number = this.selectedNumber()
    let at = matching.findIndex(row => row.key === this.selected || (row.line && row.line.n === number))
    if (at < 0 && number !== null) at = by > 0 ? matching.findLastIndex(row => row.line && row.line.n < number) : matching.findIndex(row => row.line && row.line.n > number)
    return at < 0 && by < 0 ? undefined : matching[at + by]
  }

  step(by) {
    const next = this.detail && this.neighbour(by)
    if (next) this.jump(next.key)
  }

  problem(by) {
    const next = problemFrom(this.rows, this.position(), by)
    if (next >= 0) this.jump(this.rows[next].key)
  }

  followed(follow) {
    this.follow = follow
    if (this.detail) this.update(this.detail, [])
    this.updateAddress()
  }

  // Select from outside of the list, and scroll to it.
  jump(key) {
    this.select(key, true)
    this.listing.scrollIntoView()
  }

  // key: of a row, folded ones included; reveal: unfold the row and scroll the list to it
  select(key, reveal = false) {
    this.follow = false
    this.selected = key
    if (reveal) {
      const holder = this.rows[this.position()]
      if (holder && holder.inside && holder.key !== key) this.opened.add(holder.key)
    }
    if (this.detail) {
      this.timeline.select(this.selectedNumber() === null ? this.selected : `frame/${this.selectedNumber()}`)
      this.drawList(reveal)
    }
    this.fetchSelection()
    this.updateAddress()
  }

  // Fetch the selection, one at a time: while an arrow key is held down, intermediate rows are skipped.
  async fetchSelection() {
    if (this.fetching || !this.detail || this.requested === this.selected) return
    this.fetching = true
    const key = this.requested = this.selected
    const other = this.all.find(row => row.key === key && !row.line), frame = other ? this.frameBefore(other) : this.selectedNumber()
    let found = null
    if (frame !== null) try { found = await this.fetchFrame(frame) } catch (error) { found = { error: this.missing(frame, error) } }
    this.fetching = false
    if (other) this.details.other(other, found)
    else this.details.frame(found || { error: "No longer recorded." })
    this.fetchSelection()
  }

  frameBefore(other) {
    const before = this.frames.findLast(line => line.at <= other.at)
    return before ? before.n : null
  }

  missing(frame, error) {
    const { first, end } = this.detail.frames, recorded = end > first ? `Recorded: ${first}–${end - 1}.` : "No frames of this session are recorded."
    if (frame < first) return `Frame ${frame} is no longer recorded. ${recorded}`
    return frame >= end ? `Frame ${frame} does not exist yet. ${recorded}` : error.message
  }

  // Write the selection and the filters to the address after a pause, because browsers limit the rate.
  updateAddress() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.go(this.hash(), true), ADDRESS_DELAY_MS)
  }

  hash() {
    const query = this.filters.toQuery(), number = this.selectedNumber(), selected = number === null ? this.selected : `frame/${number}`
    return `#/session/${this.number}${this.follow || !selected ? "" : `/${selected}`}${query ? `?${query}` : ""}`
  }

  // Apply an address: the selection, such as "frame/8", and the filters.
  restore(key, query) {
    if (query !== this.filters.toQuery()) this.filters.fromQuery(query)
    if (key && key !== this.selected && key !== `frame/${this.selectedNumber()}`) this.jump(key)
    clearTimeout(this.timer)
  }

  leave() {
    clearTimeout(this.timer)
    clearTimeout(this.filters.timer)
  }

  key(event) {
    if (event.target === this.filters.box && ["Escape", "Enter", "ArrowDown"].includes(event.key)) {
      if (event.key === "Escape" && this.filters.box.value) this.filters.clear()
      else this.listing.root.focus()
    }
    else if (event.target.closest("input, select, textarea")) return
    else if (event.key === "ArrowLeft") this.step(-1)
    else if (event.key === "ArrowRight") this.step(1)
    else if (event.key === "/") this.filters.box.focus()
    else if (["n", "j"].includes(event.key)) this.problem(1)
    else if (["p", "k"].includes(event.key)) this.problem(-1)
    else if (event.key === "+") this.scale(2)
    else if (event.key === "-") this.scale(.5)
    else if (event.key === "Escape" && !this.exported) this.go("#/sessions")
    else if (!event.target.closest("pre, .summary, .frame-list, button, a, .timeline") && this.detail) this.listing.key(event)
    else return
    event.preventDefault()
  }
}
