// State of the gateway at a glance.
import { el, ms, count, summed, clock } from "./dom.js"
import { plot, STEP_S } from "./plots.js"

const MAX_LINES = 5, GAP = 12, MIN_PLOT_WIDTH = 380, INSET = 30, MAX_RECENT = 7

export class Now {
  constructor(state) {
    this.state = state
    this.tiles = el("div", { class: "tiles" })
    this.plots = el("div", { class: "cards" })
    this.backends = el("tbody")
    this.recent = el("div")
    const heads = ["Service", "Backend", "State"].map(text => el("th", { scope: "col" }, text))
    this.root = el("div", {}, el("h1", { class: "unseen" }, "Now"), this.tiles, this.plots, el("div", { class: "cards pair" },
      el("section", { class: "card" }, el("header", {}, el("h2", {}, "Backends")), el("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Backends" }, el("table", {}, el("thead", {}, el("tr", {}, heads)), this.backends))),
      el("section", { class: "card" }, el("header", {}, el("h2", {}, "Recent problems"), el("a", { href: "#/causes" }, "All causes")), this.recent)))
  }

  changed() {
    const steps = this.state.steps, last = steps[steps.length - 1], recent = steps.slice(-12)
    this.tiles.replaceChildren(...this.numbers(steps, last, recent))
    this.plots.replaceChildren(...this.drawPlots(steps, last))
    this.backends.replaceChildren(...this.state.backends.map(backendRow))
    const rows = this.state.incidents.filter(isProblem).slice(-MAX_RECENT).reverse().map(problemRow)
    this.recent.replaceChildren(rows.length ? el("table", { class: "recent" }, el("tbody", {}, rows)) : el("p", { class: "empty" }, "No problems so far."))
  }

  numbers(steps, last, recent) {
    const rate = recent.length ? total(recent, "requests") / (recent.length * STEP_S) : 0
    const maximum = key => recent.map(step => step[key]).filter(value => value !== null).reduce((a, b) => Math.max(a, b), -1)
    const sockets = last ? total([last], "sockets") : this.state.overview.sockets || 0
    const p95 = maximum("p95"), lag = maximum("lag")
    const tiles = [
      [count(sockets), "open sockets"], [count(this.state.sessions.size), "sessions"], [rate.toFixed(1), "requests/s"],
      [p95 < 0 ? "–" : ms(p95), "event p95, last minute"], [count(total(steps, "refused")), "refused, last 15 min"], [lag < 0 ? "–" : ms(lag), "max. lag, last minute"],
    ]
    return tiles.map(([value, label]) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, label)))
  }

  drawPlots(steps, last) {
    const room = this.plots.clientWidth || 800, columns = Math.max(1, Math.floor((room + GAP) / (MIN_PLOT_WIDTH + GAP)))
    const width = Math.max(200, Math.floor((room - GAP * (columns - 1)) / columns) - INSET)
    const per = (key, scale, digits) => byName(steps, key, scale).map(one => ({ ...one, show: (one.values[one.values.length - 1] ?? 0).toFixed(digits) }))
    const sums = key => byName(steps, key, 1).map(one => ({ ...one, show: count(one.values.reduce((a, b) => a + b, 0)) }))
    const trips = ["p50", "p95", "p99"].map(key => ({ name: key, values: steps.map(step => step[key]), show: last ? ms(last[key]) : "–" }))
    const lag = [{ name: "max. per 5 s", values: steps.map(step => step.lag), show: last ? ms(last.lag) : "–" }]
    return [
      plot("Open sockets", per("sockets", 1, 0), steps, plain, "by service", width),
      plot("Requests per second", per("requests", 1 / STEP_S, 1), steps, plain, "by service", width),
      plot("Event round trips", trips, steps, short, "LiveView, measured at the gateway", width),
      plot("Closed sockets", sums("closes"), steps, plain, "by code and side, last 15 min", width),
      plot("Refused and failed", sums("refused"), steps, plain, "by reason, last 15 min", width),
      plot("Event-loop lag", lag, steps, short, "delay of the gateway's event loop", width),
    ]
  }
}

function total(steps, key) {
  return Object.values(summed(steps.map(step => step[key]))).reduce((a, b) => a + b, 0)
}

function byName(steps, key, scale) {
  const names = Object.entries(summed(steps.map(step => step[key]))).sort((a, b) => b[1] - a[1]).map(([name]) => name)
  return names.slice(0, MAX_LINES).map(name => ({ name, values: steps.map(step => (step[key][name] || 0) * scale) }))
}

function plain(value) {
  return value >= 10 || Number.isInteger(value) ? Math.round(value).toString() : value.toFixed(1)
}

function short(value) {
  if (value === 0) return "0"
  return value < 1 ? `${value.toFixed(1)}ms` : value < 1000 ? `${Math.round(value)}ms` : `${value / 1000}s`
}

function backendRow(one) {
  return el("tr", {}, el("td", {}, one.service), el("td", { class: "mono" }, one.backend),
    el("td", {}, el("span", { class: `dot ${one.up ? "up" : "down"}` }, one.up ? "up" : `down: ${one.why}`)))
}

// A normal close is none.
function isProblem(one) {
  return one.kind !== "closed" || one.causes.length > 0
}

function problemRow(one) {
  const title = one.causes.length && one.incident && one.incident.view ? `${one.causes[0].title} · ${one.incident.view}` : one.causes.length && one.causes[0].title
  const what = title ? title : one.kind === "closed" ? `closed ${one.code} by ${one.by}` : one.reason
  return el("tr", {}, el("td", {}, clock(one.at)), el("td", {}, one.service || one.host), el("td", {}, one.session ? el("a", { href: `#/session/${one.session}${one.incident ? `/incident/${one.incident.number}` : ""}` }, what) : what))
}
