// One session: its timeline, each frame, and the page at that frame.
import { el, ms, bytes, age, clock, count } from "./dom.js"
import { timeline } from "./timeline.js"
import { framed } from "./page.js"
import { causeCard } from "./causes.js"

const LISTED = 400, MOST_ZOOM = 512

export class SessionView {
  // ask(frame number) gives a frame with its pages; go(hash, instead of this place) moves on; exported: nothing more will come
  constructor(number, ask, go, exported) {
    Object.assign(this, { number, ask, go, exported, frames: [], detail: null, dress: null, selected: null, zoom: 1, follow: true, shown: null })
    this.facts = el("div", { class: "facts" })
    this.title = el("h1", {}, `Session ${number}`)
    this.ill = el("div", { class: "cards" })
    this.lanes = el("div", { class: "lanes card", tabindex: 0, role: "group", "aria-label": "Timeline" })
    this.listing = el("div", { class: "frame-list", role: "group", "aria-label": "Frames" })
    this.frame = el("div")
    this.page = el("section", { class: "card page" })
    this.back = el("button", { onclick: () => this.step(-1), title: "left arrow" }, "← back")
    this.forth = el("button", { onclick: () => this.step(1), title: "right arrow" }, "forward →")
    this.where = el("span", { class: "num", role: "status" })
    this.root = el("div", { class: "session" },
      el("div", { class: "card" }, el("header", {}, this.title, exported ? el("p", { class: "note" }, "exported") : this.download()), this.facts),
      this.ill,
      el("div", {}, el("div", { class: "bar" }, this.back, this.forth,
        el("button", { onclick: () => this.scale(2), "aria-label": "Zoom in" }, "+"), el("button", { onclick: () => this.scale(.5), "aria-label": "Zoom out" }, "−"), this.where), this.lanes),
      el("div", { class: "split" }, el("section", { class: "card" }, el("h2", { class: "unseen" }, "Frames"), this.listing, this.frame), this.page))
  }

  download() {
    return el("a", { class: "button", href: `api/v1/sessions/${this.number}/export`, download: "" }, "Export as one file")
  }

  update(detail, lines) {
    this.detail = detail
    const known = this.frames.length ? this.frames[this.frames.length - 1].n : -1
    this.frames.push(...lines.filter(line => line.n > known))
    const gone = this.frames.findIndex(line => line.n >= detail.frames.first)
    this.frames.splice(0, gone < 0 ? this.frames.length : gone)
    const last = this.frames[this.frames.length - 1]
    if (this.follow && last && last.n !== this.selected) this.select(last.n, false)
    else if (this.selected !== null && this.shown !== this.selected) this.select(this.selected, false)
    this.draw()
  }

  gone(message) {
    this.root.replaceChildren(el("p", { class: "empty" }, message))
  }

  draw() {
    const one = this.detail
    this.title.textContent = [one.module ? one.view : one.title, one.path || "a session without a page"].filter(Boolean).join(" ") + ` · session ${one.number}`
    const facts = [["service", one.service], ["state", one.state], ["LiveView", one.version || ""], ["transport", one.transport], ["age", age(Date.now() / 1000 - one.opened)],
      ["events", count(one.events)], ["p50", ms(one.p50)], ["p95", ms(one.p95)], ["heartbeat", ms(one.heartbeat)], ["diffs", bytes(one.diff)], ["crashes", one.crashes],
      ["rejoins", one.rejoins], ["unanswered", one.unanswered], ["sockets", one.sockets]]
    this.facts.replaceChildren(...facts.filter(([, value]) => value !== "" && value !== 0 && value !== "–").map(([name, value]) => el("span", {}, `${name} `, el("b", {}, String(value)))))
    this.ill.replaceChildren(...one.causes.map(cause => causeCard(cause)))
    this.ill.hidden = !one.causes.length
    this.drawLanes()
    this.drawList()
  }

  drawLanes() {
    const left = this.lanes.scrollLeft, width = (this.lanes.clientWidth || 900) - 28
    const { picture, cursor } = timeline(this.detail, this.frames, this.selected, this.zoom, width, number => this.choose(number))
    this.lanes.replaceChildren(picture)
    this.lanes.scrollLeft = left
    if (cursor !== null && (cursor < this.lanes.scrollLeft + 100 || cursor > this.lanes.scrollLeft + width)) this.lanes.scrollLeft = cursor - width / 2
  }

  drawList() {
    const at = this.frames.findIndex(line => line.n === this.selected)
    const first = Math.max(0, (at < 0 ? this.frames.length : at) - LISTED / 2)
    this.listing.replaceChildren(...this.frames.slice(first, first + LISTED).map(line => this.listed(line)))
    const current = this.listing.querySelector("[aria-current]")
    if (current) this.listing.scrollTop = current.offsetTop - this.listing.offsetTop - 100
    const more = this.follow && !this.exported ? " · following" : ""
    this.where.textContent = at < 0 ? `${count(this.frames.length)} frames` : `frame ${this.selected + 1} of ${count(this.detail.frames.end)}${more}`
    this.back.disabled = at <= 0
    this.forth.disabled = at < 0 || at >= this.frames.length - 1
  }

  listed(line) {
    return el("button", { class: line.what, "aria-current": line.n === this.selected ? "true" : null, onclick: () => this.choose(line.n) },
      el("span", { class: "mono" }, clock(line.at, true)), el("span", { "aria-label": line.dir === "up" ? "to the server" : "to the browser", role: "img" }, line.dir === "up" ? "▲" : "▼"), el("span", { class: "what" }, line.text))
  }

  scale(by) {
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * by))
    this.lanes.scrollLeft = -1
    if (this.detail) this.drawLanes()
  }

  step(by) {
    const at = this.frames.findIndex(line => line.n === this.selected)
    const next = this.frames[at + by]
    if (next) this.choose(next.n)
  }

  choose(number) {
    this.follow = false
    this.select(number)
    this.go(`#/session/${this.number}/frame/${number}`, true)
  }

  async select(number, redraw = true) {
    this.selected = number
    if (redraw && this.detail) { this.drawLanes(); this.drawList() }
    this.shown = number
    let found
    try { found = await this.ask(number) } catch (error) { found = { error: error.message } }
    if (this.selected === number) this.show(found)
  }

  show(found) {
    if (found.error) { this.frame.replaceChildren(el("p", { class: "empty" }, found.error)); this.page.replaceChildren(); return }
    const line = found.line
    this.frame.replaceChildren(el("h2", { class: "sentence" }, `${line.dir === "up" ? "▲" : "▼"} ${line.text}`),
      el("ul", { class: "changes mono" }, found.changes.map(text => el("li", {}, text.trim()))), el("pre", { tabindex: 0, role: "group", "aria-label": "The frame" }, found.raw))
    this.showPage(found)
  }

  showPage(found) {
    if (found.page.why) { this.page.replaceChildren(el("h2", {}, "The page"), el("p", { class: "empty" }, found.page.why)); return }
    const { text, changed } = framed(found.page.html, found.before.html, this.dress)
    const note = found.before.html ? `${changed} place${changed === 1 ? "" : "s"} changed by this frame` : "first seen here"
    const frame = el("iframe", { sandbox: "", title: `The page at frame ${found.line.n + 1}`, srcdoc: text })
    this.page.replaceChildren(el("header", {}, el("h2", {}, "The page at this frame"), el("p", { class: "note" }, note)), frame)
  }

  key(event) {
    if (event.target.closest("input, select, textarea")) return
    if (event.key === "ArrowLeft") this.step(-1)
    else if (event.key === "ArrowRight") this.step(1)
    else if (event.key === "+") this.scale(2)
    else if (event.key === "-") this.scale(.5)
    else if (event.key === "Escape" && !this.exported) this.go("#/sessions")
    else return
    event.preventDefault()
  }
}
