// One session: its timeline, the list of all that happened, and what is chosen of it with the page as it was then.
import { el, ms, bytes, age, clock, count } from "./dom.js"
import { Timeline } from "./timeline.js"
import { causeCard } from "./causes.js"
import { incidentFacts } from "./incident.js"
import { Chosen } from "./detail.js"
import { Filters } from "./filters.js"
import { Listing } from "./listing.js"
import { nameOf } from "./sessions.js"
import { allRows, filtered, folded, FOLDED, problemFrom, rowOfFrame } from "./rows.js"
import { BAD } from "./endings.js"

const MOST_ZOOM = 512, ADDRESS_AFTER_MS = 150, SEARCHED_AT_ONCE = 500

export class SessionView {
  // ask(frame number) gives a frame with its pages; search(text, from) the lines whose content has it; go(hash, instead of
  // this place) moves on; exported: nothing more will come
  constructor(number, { ask, search, go, exported }) {
    Object.assign(this, { number, ask, go, exported, frames: [], all: [], rows: [], opened: new Set(), detail: null, chosen: null, zoom: 1, follow: true, asked: null, asking: false, timer: null })
    this.facts = el("div", { class: "facts" })
    this.title = el("h1", {}, `Session ${number}`)
    this.trouble = el("div", { class: "cards" })
    this.timeline = new Timeline(key => this.choose(key, true))
    this.filters = new Filters(() => this.refiltered(), text => this.searched(search, text))
    this.listing = new Listing("Frames", { choose: row => this.choose(row.key), toggle: row => this.toggle(row), enter: () => this.selected.told.focus() })
    this.nothing = el("p", { class: "empty" })
    this.selected = new Chosen()
    const button = (act, title, label, ...parts) => el("button", { onclick: act, title, "aria-label": label }, parts)
    const word = text => el("span", { class: "word" }, text)
    this.back = button(() => this.step(-1), "Left arrow", "back", "←", word(" back"))
    this.forth = button(() => this.step(1), "Right arrow", "forward", word("forward "), "→")
    this.wrongBefore = button(() => this.problem(-1), "p or k", "previous problem", "↑ ✕", word(" problem"))
    this.wrongAfter = button(() => this.problem(1), "n or j", "next problem", "↓ ✕", word(" problem"))
    this.live = exported ? null : el("button", { "aria-pressed": "true", onclick: () => this.followed(!this.follow), title: "Always show the newest frame" }, "Follow")
    this.where = el("span", { class: "num", role: "status" })
    const zoom = [["+", "Zoom in", 2], ["−", "Zoom out", .5]].map(([text, label, by]) => el("button", { onclick: () => this.scale(by), "aria-label": label, title: text }, text))
    this.root = el("div", { class: "session" },
      el("div", { class: "card" }, el("header", {}, this.title, exported ? el("p", { class: "note" }, "exported") : this.download()), this.facts),
      this.trouble, el("section", { class: "card" }, el("h2", { class: "unseen" }, "Timeline"), this.timeline.root),
      el("div", { class: "bar steps" }, this.back, this.forth, this.wrongBefore, this.wrongAfter, el("span", { class: "where" }, this.live, this.where), el("span", { class: "zoom" }, zoom)),
      el("div", { class: "split" }, el("section", { class: "card list" }, el("h2", { class: "unseen" }, "Frames"), this.filters.root, this.nothing, this.listing.root),
        this.selected.root))
  }

  set style(value) {
    this.selected.style = value
  }

  download() {
    return el("a", { class: "button", href: `api/v1/sessions/${this.number}/export`, "aria-label": "Export as one file", download: "" }, "Export", el("span", { class: "word" }, " as one file"))
  }

  // News of the session: all that is known of it but its frames, and the frames that are new.
  update(detail, lines) {
    const known = this.frames.length ? this.frames[this.frames.length - 1].n : -1
    this.frames.push(...lines.filter(line => line.n > known))
    const gone = this.frames.findIndex(line => line.n >= detail.frames.first)
    this.frames.splice(0, gone < 0 ? this.frames.length : gone)
    const last = this.frames[this.frames.length - 1]
    this.all = allRows(detail, this.frames)
    if (this.follow && last) this.chosen = `frame/${last.n}`
    const first = this.detail === null
    this.detail = detail
    this.draw()
    if (first && !this.follow) this.jump(this.chosen)
    this.fetchChosen()
  }

  gone(message) {
    this.root.replaceChildren(el("p", { class: "empty" }, message))
  }

  draw() {
    const one = this.detail
    this.title.textContent = [nameOf(one), one.path || (one.kind === "channels" ? "" : "a session without a page")].filter(Boolean).join(" ") + ` · session ${one.number}`
    const facts = [["service", one.service], ["state", one.state], ["LiveView", one.version || ""], ["transport", one.transport], ["age", age(Date.now() / 1000 - one.opened)],
      ["events", count(one.events)], ["p50", ms(one.p50)], ["p95", ms(one.p95)], ["heartbeat", ms(one.heartbeat)], ["diffs", bytes(one.diff)], ["crashes", one.crashes],
      ["rejoins", one.rejoins], ["unanswered", one.unanswered], ["sockets", one.sockets]]
    this.facts.replaceChildren(...facts.filter(([, value]) => value !== "" && value !== 0 && value !== "–").map(([name, value]) => el("span", {}, `${name} `, el("b", {}, String(value)))))
    const shown = JSON.stringify(one.incidents.map(each => [each.number, each.healed, each.times]))
    if (shown !== this.happenedShown) this.trouble.replaceChildren(...this.happened(one.incidents)) // else the focus would go
    this.happenedShown = shown
    this.trouble.hidden = !this.trouble.childElementCount
    this.drawLanes()
    this.drawList(false)
    if (this.follow) this.listing.toEnd()
  }

  // A card for each kind of incident, with its moments as links into the list.
  happened(incidents) {
    const kinds = new Map()
    for (const incident of incidents) kinds.set(incident.slug, [incident, ...(kinds.get(incident.slug) || [])])
    return [...kinds.values()].map(list => {
      const moments = list.map(one => el("li", {}, el("button", { class: "jump", onclick: () => this.jump(`incident/${one.number}`) }, clock(one.at, true)), el("span", { class: "note" }, incidentFacts(one).join(" · "))))
      return causeCard(list[0], list.length, el("ul", { class: "moments", tabindex: 0, "aria-label": `Moments: ${list[0].title}` }, moments), list.every(one => one.healed))
    })
  }

  drawLanes() {
    this.timeline.draw(this.detail, this.frames, this.zoom)
    this.timeline.choose(this.chosenNumber() === null ? this.chosen : `frame/${this.chosenNumber()}`)
  }

  // reveal: scroll to what is chosen
  drawList(reveal) {
    const left = filtered(this.all, this.filters)
    this.rows = folded(left, this.opened, this.detail.uploads)
    this.filters.tell(this.all, left.length, this.all.filter(row => row.tone === BAD).length)
    const at = this.place()
    this.listing.show(this.rows, at)
    if (reveal) this.listing.reveal()
    this.nothing.hidden = this.rows.length > 0
    this.nothing.replaceChildren(...(this.filters.active ? ["Nothing fits. ", el("button", { onclick: () => this.filters.clear() }, "Show all")] : ["No frame is kept of this session."]))
    const { first, end } = this.detail.frames, number = this.chosenNumber()
    const range = end > first ? `${first}–${end - 1}` : "none"
    this.where.textContent = number === null ? `frames ${range}` : `frame ${number} of ${range}`
    this.back.disabled = at <= 0 && !this.neighbour(-1)
    this.forth.disabled = !this.neighbour(1)
    const { wrongBefore, wrongAfter } = this
    for (const [button, by] of [[wrongBefore, -1], [wrongAfter, 1]]) button.disabled = problemFrom(this.rows, at, by) < 0
    if (this.live) {
      this.live.setAttribute("aria-pressed", this.follow)
      this.live.hidden = this.detail.state === "closed"
    }
  }

  // Where in the list what is chosen is; -1 when the filter leaves it out.
  place() {
    const number = this.chosenNumber(), at = this.rows.findIndex(row => row.key === this.chosen)
    return at >= 0 || number === null ? at : rowOfFrame(this.rows, number)
  }

  // The number of the chosen frame, of several that are folded the first; null when something else is chosen.
  chosenNumber() {
    const [kind, number] = (this.chosen || "").split("/")
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
    this.address()
  }

  async searched(search, text) {
    const found = new Set()
    for (let from = this.detail ? this.detail.frames.first : 0; this.detail && from < this.detail.frames.end; from += SEARCHED_AT_ONCE) {
      for (const line of await search(text, from)) found.add(line.n)
    }
    return found
  }

  scale(by) {
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * by))
    if (this.detail) this.drawLanes()
  }

  // The next (by = 1) or previous (-1) thing that the filter leaves, what is folded included.
  neighbour(by) {
    const left = filtered(this.all, this.filters), number = this.chosenNumber()
    let at = left.findIndex(row => row.key === this.chosen || (row.line && row.line.n === number))
    if (at < 0 && number !== null) at = by > 0 ? left.findLastIndex(row => row.line && row.line.n < number) : left.findIndex(row => row.line && row.line.n > number)
    return at < 0 && by < 0 ? undefined : left[at + by]
  }

  step(by) {
    const next = this.detail && this.neighbour(by)
    if (next) this.jump(next.key)
  }

  problem(by) {
    const next = problemFrom(this.rows, this.place(), by)
    if (next >= 0) this.jump(this.rows[next].key)
  }

  followed(follow) {
    this.follow = follow
    if (this.detail) this.update(this.detail, [])
    this.address()
  }

  // From elsewhere than the list: what is chosen comes into sight.
  jump(key) {
    this.choose(key, true)
    this.listing.intoSight()
  }

  // key: of a row of rows.js, or of one that is folded; reveal: open what it is folded into, and scroll the list to it
  choose(key, reveal = false) {
    this.follow = false
    this.chosen = key
    if (reveal) {
      const holder = this.rows[this.place()]
      if (holder && holder.inside && holder.key !== key) this.opened.add(holder.key)
    }
    if (this.detail) {
      this.timeline.choose(this.chosenNumber() === null ? this.chosen : `frame/${this.chosenNumber()}`)
      this.drawList(reveal)
    }
    this.fetchChosen()
    this.address()
  }

  // Asks for what is chosen, one at a time: who holds an arrow key down gets the one where it stops.
  async fetchChosen() {
    if (this.asking || !this.detail || this.asked === this.chosen) return
    this.asking = true
    const key = this.asked = this.chosen
    const other = this.all.find(row => row.key === key && !row.line), frame = other ? this.frameBefore(other) : this.chosenNumber()
    let found = null
    if (frame !== null) try { found = await this.ask(frame) } catch (error) { found = { error: this.missing(frame, error) } }
    this.asking = false
    if (other) this.selected.other(other, found)
    else this.selected.frame(found || { error: "This is no longer kept." })
    this.fetchChosen()
  }

  frameBefore(other) {
    const before = this.frames.findLast(line => line.at <= other.at)
    return before ? before.n : null
  }

  missing(frame, error) {
    const { first, end } = this.detail.frames, kept = end > first ? `Frames ${first} to ${end - 1} of this session are.` : "None of this session's are."
    if (frame < first) return `Frame ${frame} is no longer kept: the oldest go when there are too many. ${kept}`
    return frame >= end ? `There is no frame ${frame} yet. ${kept.replace(" are.", " are there.")}` : error.message
  }

  // The address has what is chosen and the filter; written when a person rests, as browsers refuse many in a row.
  address() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.go(this.hash(), true), ADDRESS_AFTER_MS)
  }

  hash() {
    const query = this.filters.toQuery(), number = this.chosenNumber(), chosen = number === null ? this.chosen : `frame/${number}`
    return `#/session/${this.number}${this.follow || !chosen ? "" : `/${chosen}`}${query ? `?${query}` : ""}`
  }

  // An address that somebody opened: what is chosen ("frame/8"), and the filter.
  restore(key, query) {
    if (query !== this.filters.toQuery()) this.filters.fromQuery(query)
    if (key && key !== this.chosen && key !== `frame/${this.chosenNumber()}`) this.jump(key)
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
    else if (!event.target.closest("pre, .told, .frame-list, button, a, .lanes") && this.detail) this.listing.key(event)
    else return
    event.preventDefault()
  }
}
