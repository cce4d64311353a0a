// Why things were refused or closed, and what to do.
import { el, clock, code } from "./dom.js"

const MOST_INCIDENTS = 200

export function causeCard(cause, times = 0) {
  return el("section", { class: "card cause" },
    el("header", {}, el("h2", {}, cause.title), times ? el("p", { class: "note" }, `${times} ×`) : null),
    el("p", {}, code(cause.why)), el("p", { class: "todo" }, code(cause.todo)))
}

export class Causes {
  constructor(state) {
    this.state = state
    this.cards = el("div", { class: "cards" })
    this.list = el("div", { class: "incidents" })
    this.none = el("p", { class: "empty" }, "No cause for worry: nothing was refused, and no socket ended otherwise than it should.")
    this.kind = el("select", { "aria-label": "Kind", onchange: () => this.changed() },
      [["ill", "those with a cause"], ["", "refused and closed"], ["refused", "refused"], ["closed", "closed"]].map(([value, text]) => el("option", { value }, text)))
    this.root = el("div", {}, el("h1", { class: "unseen" }, "Causes"), this.none, this.cards, el("div", { class: "bar" }, el("h2", {}, "One by one"), this.kind), this.list)
  }

  changed() {
    const tally = new Map()
    for (const one of this.state.incidents) {
      for (const cause of one.causes) {
        const found = tally.get(cause.slug) || { cause, times: 0 }
        found.times += 1
        tally.set(cause.slug, found)
      }
    }
    const cards = [...tally.values()].sort((a, b) => b.times - a.times).map(({ cause, times }) => causeCard(cause, times))
    this.none.hidden = cards.length > 0
    this.cards.replaceChildren(...cards)
    const kind = this.kind.value
    const fits = one => !kind || (kind === "ill" ? one.causes.length > 0 : one.kind === kind)
    this.list.replaceChildren(...this.state.incidents.filter(fits).slice(-MOST_INCIDENTS).reverse().map(incident))
  }
}

function incident(one) {
  const closed = one.kind === "closed"
  const live = one.kind === "liveview"
  const what = live ? one.incident.view || one.reason : closed ? `closed with ${one.code} by ${one.by}${one.reason ? `: ${one.reason}` : ""}` : `${one.status || "no answer"}: ${one.reason}`
  const title = one.causes.map(cause => cause.title).join("; ") || (closed ? "Closed" : "Refused")
  const pills = [what, one.service, `${one.host}${one.path}`, one.client].filter(Boolean).map(text => el("span", { class: "pill" }, text))
  return el("section", { class: one.causes.length ? "card incident ill" : "card incident" },
    el("header", {}, el("b", {}, title), el("p", { class: "note" }, clock(one.at))),
    el("p", {}, pills, one.session ? el("a", { class: "pill", href: `#/session/${one.session}` }, `session ${one.session}`) : null),
    one.causes.map(cause => el("p", { class: "todo" }, code(cause.todo))))
}
