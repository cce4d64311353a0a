// What stands beside the list: the chosen frame, socket or incident, and the page as it was then.
import { el, age, bytes, clock, count, ms } from "./dom.js"
import { framed } from "./page.js"
import { endingOf, toneOf } from "./endings.js"
import { incidentText } from "./incident.js"

const MOST_CHANGES = 80

export class Chosen {
  constructor() {
    this.told = el("section", { class: "card told", "aria-label": "The chosen frame", tabindex: -1 })
    this.page = el("section", { class: "card page" })
    this.raw = el("pre", { tabindex: 0, role: "group", "aria-label": "The frame" })
    this.data = el("section", { class: "card" }, el("h2", {}, "The frame itself"), this.raw)
    this.root = el("div", { class: "beside" }, this.told, this.page, this.data)
    this.style = null
  }

  // found: a frame as the API tells of it, or {error}
  frame(found) {
    if (found.error) {
      this.told.replaceChildren(el("p", { class: "empty" }, found.error))
      this.page.hidden = this.data.hidden = true
      return
    }
    const { line } = found, up = line.dir === "up"
    const facts = [`frame ${line.n}`, clock(line.at, true), up ? "to the server" : "to the browser", bytes(line.size), line.ms === null ? "" : `answered after ${ms(line.ms)}`]
    const changes = found.changes.slice(0, MOST_CHANGES).map(text => el("li", {}, text.trim()))
    this.told.replaceChildren(el("h2", { class: "sentence" }, `${up ? "▲" : "▼"} ${line.text}`), el("p", { class: "note" }, facts.filter(Boolean).join(" · ")),
      ...(changes.length ? [el("ul", { class: "changes mono" }, changes)] : []))
    this.raw.textContent = found.raw
    this.raw.scrollTop = 0
    this.data.hidden = false
    this.showPage(found)
  }

  // A row of rows.js that is no frame; found: the frame before it, whose page is shown, or null.
  other(row, found) {
    this.told.replaceChildren(...(row.incident ? incidentText(row.incident) : socketText(row)))
    this.data.hidden = true
    if (found && !found.error) this.showPage(found)
    else this.page.hidden = true
  }

  showPage(found) {
    this.page.hidden = false
    const title = `The page at frame ${found.line.n}`
    if (found.page.why) {
      this.page.replaceChildren(el("h2", {}, title), el("p", { class: "empty" }, `Not known: ${found.page.why}`))
      return
    }
    const { text, changed } = framed(found.page.html, found.before.html, this.style)
    const note = !found.before.html ? "first seen here" : changed ? `${count(changed)} place${changed === 1 ? "" : "s"} changed` : "as before"
    const frame = el("iframe", { sandbox: "", title, srcdoc: text })
    this.page.replaceChildren(el("header", {}, el("h2", {}, title), el("p", { class: "note" }, note)), frame)
  }
}

function socketText(row) {
  const { connection, number } = row, lived = (connection.closed_at ?? Date.now() / 1000) - connection.opened_at
  const facts = [`socket ${number}`, connection.transport, `opened ${clock(connection.opened_at, true)}`, connection.closed_at === null ? "still open" : `closed ${clock(connection.closed_at, true)}`, `lived for ${age(lived)}`]
  const title = row.closed ? `Closed with ${endingOf(connection)}` : `Socket ${number} opened`
  return [el("h2", { class: `sentence ${row.closed ? toneOf(connection) : ""}` }, title), el("p", { class: "note" }, facts.join(" · "))]
}
