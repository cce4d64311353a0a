// Line plots of the last quarter of an hour, with a legend of the latest values. Drawn in CSS pixels.
import { el, svg, clock } from "./dom.js"

const HEIGHT = 132, LEFT = 46, RIGHT = 4, BOTTOM = 18, TOP = 8
export const STEPS = 180, STEP_S = 5

function roundUp(value) {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map(part => part * power).find(part => part >= value)
}

function path(values, steps, x, y) {
  let drawn = "", pen = false
  values.forEach((value, index) => {
    if (value === null || value === undefined) { pen = false; return }
    drawn += `${pen ? "L" : "M"}${x(steps[index].at).toFixed(1)} ${y(value).toFixed(1)}`
    if (!pen && (values[index + 1] === null || values[index + 1] === undefined)) drawn += "h1.5"
    pen = true
  })
  return drawn
}

// series: [{name, values: [number or null], show: latest as text}]; width in CSS pixels
export function plot(title, series, steps, format, note, width) {
  const top = roundUp(1.02 * Math.max(0, ...series.flatMap(one => one.values.filter(value => value !== null))))
  const now = steps.length ? steps[steps.length - 1].at : Date.now() / 1000
  const x = at => LEFT + (width - LEFT - RIGHT) * (1 - (now - at) / (STEPS * STEP_S))
  const y = value => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)
  const lines = series.map((one, index) => svg("path", { d: path(one.values, steps, x, y) || "M0 0", class: "line", stroke: `var(--c${index % 6})` }))
  const marks = [0, .5, 1].flatMap(part => [
    svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(top * part), y2: y(top * part) }),
    svg("text", { x: LEFT - 7, y: y(top * part) + 4, "text-anchor": "end" }, format(top * part)),
  ])
  const times = [15, 10, 5].map(minutes => svg("text", { x: x(now - minutes * 60), y: HEIGHT - 3 }, clock(now - minutes * 60).slice(0, 5)))
  const latest = series.map(one => `${one.name} ${one.show}`).join(", ")
  return el("section", { class: "card" },
    el("header", {}, el("h2", {}, title), el("p", { class: "note" }, note)),
    svg("svg", { class: "plot", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${latest || "no data yet"}` },
      marks, times, svg("text", { x: width - RIGHT, y: HEIGHT - 3, "text-anchor": "end" }, "now"), lines),
    el("ul", { class: "legend" }, series.length
      ? series.map((one, index) => el("li", {}, el("i", { style: `background:var(--c${index % 6})` }), one.name, el("b", {}, one.show)))
      : el("li", { class: "note" }, "no data yet")))
}
