// Why things were refused or closed, and what to do.
import { el, clock, code } from "./dom.js"
import { endingOf } from "./endings.js"
import { incidentFacts } from "./incident.js"

const MOST_INCIDENTS = 200

// more: what stands below it; calm: whether all has healed
export function causeCard(cause, times = 0, more = null, calm = true) {
  return el("section", { class: calm ? "card cause" : "card cause bad" },
    el("header", {}, el("h2", {}, cause.title), times ? el("p", { class: "note" }, `${times} ×`) : null),
    el("p", {}, code(cause.why)), el("p", { class: "todo" }, code(cause.todo)), more)
}

export class Causes {
  constructor(state) {
    this.state = state
    this.cards = el("div", { class: "cards" })
    this.list = el("div", { class: "incidents" })
    this.none = el("p", { class: "empty" }, "No cause for worry: nothing was refused, and no LiveView crashed, and no socket ended otherwise than it should.")
    this.kind = el("select", { "aria-label": "Kind", onchange: () => this.changed() },
      [["ill", "those with a cause"], ["", "everything"], ["liveview", "in LiveViews"], ["refused", "refused"], ["closed", "closed"]].map(([value, text]) => el("option", { value }, text)))
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
  const title = one.causes.map(cause => cause.title).join("; ") || (one.kind === "closed" ? "Closed" : "Refused")
  const pills = [...whatOf(one), one.service, `${one.host}${one.path}`, one.client].filter(Boolean).map(text => el("span", { class: "pill" }, text))
  const place = one.session && `#/session/${one.session}${one.incident ? `/incident/${one.incident.number}` : ""}`
  const healed = one.incident && one.incident.healed
  return el("section", { class: !one.causes.length ? "card incident" : healed ? "card incident ill" : "card incident ill bad" },
    el("header", {}, el("b", {}, title), el("p", { class: "note" }, clock(one.at))),
    el("p", {}, pills, place ? el("a", { class: "pill", href: place }, `session ${one.session}`) : null),
    one.causes.map(cause => el("p", { class: "todo" }, code(cause.todo))))
}

function whatOf(one) {
  if (one.kind === "liveview") return incidentFacts(one.incident)
  const ended = one.kind === "closed" ? `closed with ${endingOf({ close_code: one.code, close_reason: one.reason, closed_at: one.at, closed_by: one.by })}` : `${one.status || "no answer"}: ${one.reason}`
  return [ended, ...(one.incident ? incidentFacts(one.incident) : [])]
}
