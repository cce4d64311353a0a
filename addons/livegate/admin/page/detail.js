// Details of the selected frame, socket or incident, with the page at that time.
import { el, age, bytes, clock, count, ms } from "./dom.js"
import { pageDocument } from "./page.js"
import { closeText, toneOf } from "./closes.js"
import { incidentElements } from "./incident.js"

const MAX_CHANGES = 80

export class Details {
  constructor() {
    this.summary = el("section", { class: "card summary", "aria-label": "Selected frame", tabindex: -1 })
    this.page = el("section", { class: "card page" })
    this.raw = el("pre", { tabindex: 0, role: "group", "aria-label": "Frame content" })
    this.data = el("section", { class: "card" }, el("h2", {}, "Frame content"), this.raw)
    this.root = el("div", { class: "details" }, this.summary, this.page, this.data)
    this.style = null
  }

  // found: a frame as in the API, or {error}
  frame(found) {
    if (found.error) {
      this.summary.replaceChildren(el("p", { class: "empty" }, found.error))
      this.page.hidden = this.data.hidden = true
      return
    }
    const { line } = found, up = line.dir === "up"
    const facts = [`frame ${line.n}`, clock(line.at, true), up ? "to the server" : "to the browser", bytes(line.size), line.ms === null ? "" : `reply after ${ms(line.ms)}`]
    const changes = found.changes.slice(0, MAX_CHANGES).map(text => el("li", {}, text.trim()))
    this.summary.replaceChildren(el("h2", { class: "headline" }, `${up ? "▲" : "▼"} ${line.text}`), el("p", { class: "note" }, facts.filter(Boolean).join(" · ")),
      ...(changes.length ? [el("ul", { class: "changes mono" }, changes)] : []))
    this.raw.textContent = found.raw
    this.raw.scrollTop = 0
    this.data.hidden = false
    this.showPage(found)
  }

  // A row other than a frame. found: the frame before it, whose page is shown, or null.
  other(row, found) {
    this.summary.replaceChildren(...(row.incident ? incidentElements(row.incident) : socketText(row)))
    this.data.hidden = true
    if (found && !found.error) this.showPage(found)
    else this.page.hidden = true
  }

  showPage(found) {
    this.page.hidden = false
    const title = `Page at frame ${found.line.n}`
    if (found.page.why) {
      this.page.replaceChildren(el("h2", {}, title), el("p", { class: "empty" }, `Not available: ${found.page.why}`))
      return
    }
    const { text, changed } = pageDocument(found.page.html, found.before.html, this.style)
    const note = !found.before.html ? "first seen" : changed ? `${count(changed)} place${changed === 1 ? "" : "s"} changed` : "unchanged"
    const frame = el("iframe", { sandbox: "", title, srcdoc: text })
    this.page.replaceChildren(el("header", {}, el("h2", {}, title), el("p", { class: "note" }, note)), frame)
  }
}

function socketText(row) {
  const { connection, number } = row, duration = (connection.closed_at ?? Date.now() / 1000) - connection.opened_at
  const facts = [`socket ${number}`, connection.transport, `opened ${clock(connection.opened_at, true)}`, connection.closed_at === null ? "still open" : `closed ${clock(connection.closed_at, true)}`, `duration ${age(duration)}`]
  const title = row.closed ? `Closed with ${closeText(connection)}` : `Socket ${number} opened`
  return [el("h2", { class: `headline ${row.closed ? toneOf(connection) : ""}` }, title), el("p", { class: "note" }, facts.join(" · "))]
}
