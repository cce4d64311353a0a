// Why things were refused or closed, and what to do.
import { el, clock } from "./dom.js"

export function causeCard(cause, times = 0) {
  return el("section", { class: "card cause" },
    el("header", {}, el("h2", {}, cause.title), times ? el("h3", {}, `${times} ×`) : null),
    el("p", {}, cause.why), el("p", { class: "todo" }, cause.todo))
}

export function renderCauses(state, filter, onfilter) {
  const tally = new Map()
  for (const one of state.incidents) {
    for (const cause of one.causes) {
      const found = tally.get(cause.slug) || { cause, times: 0 }
      found.times += 1
      tally.set(cause.slug, found)
    }
  }
  const cards = [...tally.values()].sort((a, b) => b.times - a.times).map(({ cause, times }) => causeCard(cause, times))
  const list = state.incidents.filter(one => !filter || one.kind === filter).slice(-200).reverse().map(incident)
  return [
    cards.length ? el("div", { class: "cards" }, cards) : el("p", { class: "empty" }, "No cause for worry: nothing was refused, and no socket ended otherwise than it should."),
    el("div", { class: "bar", style: "margin-top:16px" }, el("h2", {}, "One by one"),
      el("select", { "aria-label": "Kind", onchange: event => onfilter(event.target.value) },
        ...[["", "refused and closed"], ["refused", "refused"], ["closed", "closed"]].map(([value, text]) => el("option", { value, selected: value === filter }, text)))),
    el("div", { class: "incidents" }, list),
  ]
}

function incident(one) {
  const what = one.kind === "closed" ? `closed with ${one.code} by ${one.by}${one.reason ? `: ${one.reason}` : ""}` : `${one.status || "no answer"}: ${one.reason}`
  return el("section", { class: "card incident" },
    el("header", {}, el("b", {}, one.causes.map(cause => cause.title).join("; ") || (one.kind === "closed" ? "Closed" : "Refused")), el("h3", {}, clock(one.at))),
    el("p", {}, el("span", { class: "pill" }, what), one.service ? el("span", { class: "pill" }, one.service) : null,
      el("span", { class: "pill mono" }, `${one.host}${one.path}`), el("span", { class: "pill mono" }, one.client),
      one.session ? el("a", { class: "pill", href: `#/session/${one.session}` }, `session ${one.session}`) : null),
    ...one.causes.map(cause => el("p", { class: "todo" }, cause.todo)))
}
