// The gateway at a glance.
import { el, ms, count, summed, clock } from "./dom.js"
import { plot, STEP_S } from "./plots.js"

const SHOWN = 5

function byName(steps, key, scale) {
  const names = Object.entries(summed(steps.map(step => step[key]))).sort((a, b) => b[1] - a[1]).map(([name]) => name)
  return names.slice(0, SHOWN).map(name => ({ name, values: steps.map(step => (step[key][name] || 0) * scale) }))
}

export function renderNow(state) {
  const steps = state.steps, last = steps[steps.length - 1]
  const recent = steps.slice(-12)
  const rate = recent.length ? Object.values(summed(recent.map(step => step.requests))).reduce((a, b) => a + b, 0) / (recent.length * STEP_S) : 0
  const refused = Object.values(summed(steps.map(step => step.refused))).reduce((a, b) => a + b, 0)
  const sockets = last ? Object.values(last.sockets).reduce((a, b) => a + b, 0) : state.overview.sockets || 0
  const worst = key => recent.map(step => step[key]).filter(value => value !== null).reduce((a, b) => Math.max(a, b), -1)
  const p95 = worst("p95"), lag = worst("lag")
  const tiles = [
    [count(sockets), "open sockets"], [count(state.sessions.size), "sessions known"], [rate.toFixed(1), "requests/s"],
    [p95 < 0 ? "–" : ms(p95), "event p95, last minute"], [count(refused), "refused in 15 min"], [lag < 0 ? "–" : ms(lag), "loop lag, worst in a minute"],
  ].map(([value, label]) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, label)))
  const per = (key, scale, digits) => byName(steps, key, scale).map(one => ({ ...one, show: (one.values[one.values.length - 1] ?? 0).toFixed(digits) }))
  const trips = ["p50", "p95", "p99"].map(key => ({ name: key, values: steps.map(step => step[key]), show: last ? ms(last[key]) : "–" }))
  const sums = key => byName(steps, key, 1).map(one => ({ ...one, show: count(one.values.reduce((a, b) => a + b, 0)) }))
  const plain = value => (value >= 10 || Number.isInteger(value) ? Math.round(value).toString() : value.toFixed(1))
  return [
    el("div", { class: "tiles" }, tiles),
    el("div", { class: "cards" },
      plot("Open sockets", per("sockets", 1, 0), steps, plain, "by service"),
      plot("Requests per second", per("requests", 1 / STEP_S, 1), steps, plain, "by service"),
      plot("Event round trips", trips, steps, value => ms(value).replace(" ", ""), "LiveView"),
      plot("Closed sockets", sums("closes"), steps, plain, "by code and side, in 15 min"),
      plot("Refused", sums("refused"), steps, plain, "by reason, in 15 min"),
      plot("Event-loop lag", [{ name: "worst", values: steps.map(step => step.lag), show: last ? ms(last.lag) : "–" }], steps, value => ms(value).replace(" ", "")),
      backends(state), lately(state)),
  ]
}

function backends(state) {
  const rows = state.backends.map(one => el("tr", {},
    el("td", {}, one.service), el("td", { class: "mono" }, one.backend),
    el("td", {}, el("span", { class: `dot ${one.up ? "up" : "down"}` }, one.up ? "up" : `down: ${one.why}`))))
  return el("section", { class: "card" }, el("header", {}, el("h2", {}, "Backends")),
    el("table", {}, el("thead", {}, el("tr", {}, ...["Service", "Backend", "State"].map(text => el("th", { scope: "col" }, text)))), el("tbody", {}, rows)))
}

function lately(state) {
  const rows = state.incidents.slice(-8).reverse().map(one => el("tr", {},
    el("td", { class: "num" }, clock(one.at)), el("td", {}, one.service || one.host),
    el("td", {}, one.causes.length ? one.causes[0].title : one.kind === "closed" ? `closed ${one.code} by ${one.by}` : one.reason)))
  return el("section", { class: "card" }, el("header", {}, el("h2", {}, "Lately"), el("a", { href: "#/causes" }, "all causes")),
    rows.length ? el("table", {}, el("tbody", {}, rows)) : el("p", { class: "empty" }, "Nothing was refused or closed so far."))
}
