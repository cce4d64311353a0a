// Lines over the last quarter of an hour, with the latest values in words.
import { el, svg, clock } from "./dom.js"

const WIDTH = 600, HEIGHT = 120, LEFT = 44, BOTTOM = 16, TOP = 6
export const STEPS = 180, STEP_S = 5

function nice(most) {
  if (!(most > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(most))
  return [1, 2, 5, 10].map(part => part * power).find(part => part >= most)
}

// series: [{name, values: [number or null], show: latest as text}]
export function plot(title, series, steps, format, note = "") {
  const top = nice(Math.max(0, ...series.flatMap(one => one.values.filter(value => value !== null))))
  const now = steps.length ? steps[steps.length - 1].at : Date.now() / 1000
  const x = at => LEFT + (WIDTH - LEFT) * (1 - (now - at) / (STEPS * STEP_S))
  const y = value => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)
  const lines = series.map((one, index) => {
    let path = "", pen = false
    one.values.forEach((value, place) => {
      if (value === null) { pen = false; return }
      path += `${pen ? "L" : "M"}${x(steps[place].at).toFixed(1)} ${y(value).toFixed(1)}`
      if (!pen && (place + 1 >= one.values.length || one.values[place + 1] === null)) path += "h1.5"
      pen = true
    })
    return svg("path", { d: path || "M0 0", fill: "none", stroke: `var(--c${index % 6})`, "stroke-width": 2, "stroke-linejoin": "round", "stroke-linecap": "round" })
  })
  const marks = [0, .5, 1].map(part => [
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(top * part), y2: y(top * part) }),
    svg("text", { x: LEFT - 6, y: y(top * part) + 4, "text-anchor": "end" }, format(top * part)),
  ])
  const times = [15, 10, 5].map(minutes => svg("text", { x: x(now - minutes * 60), y: HEIGHT - 3 }, clock(now - minutes * 60).slice(0, 5)))
  const latest = series.map(one => `${one.name} ${one.show}`).join(", ")
  return el("section", { class: "card" },
    el("header", {}, el("h2", {}, title), el("h3", {}, note)),
    svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${latest || "nothing yet"}` }, ...marks.flat(), ...times, ...lines),
    el("ul", { class: "legend" }, ...series.map((one, index) => el("li", {}, el("i", { style: `background:var(--c${index % 6})` }), one.name, el("b", {}, one.show)))))
}
