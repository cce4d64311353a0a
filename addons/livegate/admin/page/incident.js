// Text of an incident.
import { el, clock, code, count, ms } from "./dom.js"

export function incidentElements(incident) {
  const facts = [clock(incident.at, true), ...incidentFacts(incident)]
  return [el("h2", { class: `headline ${incident.healed ? "warn" : "bad"}` }, `⚠ ${incident.title}`), el("p", { class: "note" }, facts.join(" · ")),
    el("p", {}, code(incident.why)), ...(incident.todo ? [el("p", { class: "todo" }, code(incident.todo))] : [])]
}

// View, lost events, number of occurrences, and recovery.
export function incidentFacts(incident) {
  const lost = incident.events.map(name => `“${name}”`).join(", "), more = incident.more_events ? ` and ${count(incident.more_events)} more` : ""
  return [incident.parent ? `${incident.view} in ${incident.parent}` : incident.view, lost && `lost ${lost}${more}`, incident.times > 1 && `${count(incident.times)} times`, healingOf(incident)].filter(Boolean)
}

function healingOf(incident) {
  if (!incident.healed) return incident.session === null ? "" : "not healed"
  return `${incident.healed}${incident.cost === null ? "" : ` after ${ms(incident.cost * 1000)}`}`
}
