// Causes of incidents, with advice.
import { el, clock, code } from "./dom.js"
import { closeText } from "./closes.js"
import { incidentFacts } from "./incident.js"

const MAX_LISTED = 200

// more: elements below the text; healed: whether all incidents have healed
export function causeCard(cause, times = 0, more = null, healed = true) {
  return el("section", { class: healed ? "card cause" : "card cause bad" },
    el("header", {}, el("h2", {}, cause.title), times ? el("p", { class: "note" }, `${times} ×`) : null),
    el("p", {}, code(cause.why)), el("p", { class: "todo" }, code(cause.todo)), more)
}

export class Causes {
  constructor(state) {
    this.state = state
    this.cards = el("div", { class: "cards" })
    this.list = el("div", { class: "incidents" })
    this.none = el("p", { class: "empty" }, "No problems: no request was refused, no LiveView crashed, and every socket closed normally.")
    this.kind = el("select", { "aria-label": "Kind", onchange: () => this.changed() },
      [["problems", "Problems"], ["", "All"], ["liveview", "In LiveViews"], ["refused", "Refused requests"], ["closed", "Closed sockets"]].map(([value, text]) => el("option", { value }, text)))
    this.root = el("div", {}, el("h1", { class: "unseen" }, "Causes"), this.none, this.cards, el("div", { class: "bar" }, el("h2", {}, "Incidents"), this.kind), this.list)
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
    const matches = one => !kind || (kind === "problems" ? one.causes.length > 0 : one.kind === kind)
    this.list.replaceChildren(...this.state.incidents.filter(matches).slice(-MAX_LISTED).reverse().map(incidentCard))
  }
}

function incidentCard(one) {
  const title = one.causes.map(cause => cause.title).join("; ") || (one.kind === "closed" ? "Closed" : "Refused")
  const pills = [...factsOf(one), one.service, `${one.host}${one.path}`, one.client].filter(Boolean).map(text => el("span", { class: "pill" }, text))
  const href = one.session && `#/session/${one.session}${one.incident ? `/incident/${one.incident.number}` : ""}`
  const healed = one.incident && one.incident.healed
  return el("section", { class: !one.causes.length ? "card incident" : healed ? "card incident caused" : "card incident caused bad" },
    el("header", {}, el("b", {}, title), el("p", { class: "note" }, clock(one.at))),
    el("p", {}, pills, href ? el("a", { class: "pill", href }, `session ${one.session}`) : null),
    one.causes.map(cause => el("p", { class: "todo" }, code(cause.todo))))
}

function factsOf(one) {
  if (one.kind === "liveview") return incidentFacts(one.incident)
  const text = one.kind === "closed" ? `closed with ${closeText({ close_code: one.code, close_reason: one.reason, closed_at: one.at, closed_by: one.by })}` : `${one.status || "no response"}: ${one.reason}`
  return [text, ...(one.incident ? incidentFacts(one.incident) : [])]
}
