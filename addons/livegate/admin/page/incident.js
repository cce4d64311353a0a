// An incident: what happened, to which view, what it cost, whether it healed, what to do.
import { el, clock, code, count, ms } from "./dom.js"

export function incidentText(incident) {
  const facts = [clock(incident.at, true), ...incidentFacts(incident)]
  return [el("h2", { class: `sentence ${incident.healed ? "warn" : "bad"}` }, `⚠ ${incident.title}`), el("p", { class: "note" }, facts.join(" · ")),
    el("p", {}, code(incident.why)), ...(incident.todo ? [el("p", { class: "todo" }, code(incident.todo))] : [])]
}

// What is its own: the view, what was lost, whether and when it healed.
export function incidentFacts(incident) {
  const lost = incident.events.map(name => `“${name}”`).join(", "), more = incident.more_events ? ` and ${count(incident.more_events)} more` : ""
  return [incident.parent ? `${incident.view} in ${incident.parent}` : incident.view, lost && `lost ${lost}${more}`, incident.times > 1 && `${count(incident.times)} times`, healingOf(incident)].filter(Boolean)
}

function healingOf(incident) {
  if (!incident.healed) return incident.session === null ? "" : "not healed so far"
  return `${incident.healed}${incident.cost === null ? "" : ` after ${ms(incident.cost * 1000)}`}`
}
