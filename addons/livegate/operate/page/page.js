// The page as it was, without scripts and without network, with what changed outlined.

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
const STYLE = "body{font:15px/1.5 system-ui,sans-serif;margin:16px;color:#16181d;background:#fff}[data-livegate-changed]{outline:2px solid #f59e0b!important;outline-offset:2px;background:#fef3c7!important}"

export function framed(after, before) {
  const page = new DOMParser().parseFromString(after, "text/html")
  if (before) mark(new DOMParser().parseFromString(before, "text/html").body, page.body)
  for (const element of page.querySelectorAll("script, meta, base, link, iframe, object, embed")) element.remove()
  const changed = page.querySelectorAll("[data-livegate-changed]").length
  return { changed, text: `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}"><style>${STYLE}</style>${page.body.outerHTML}` }
}

// Children are the same when their id is, else when they stand at the same place.
function mark(before, after) {
  const known = new Map([...before.children].filter(child => child.id).map(child => [child.id, child]))
  let changed = text(before) !== text(after)
  const unnamed = [...before.children].filter(child => !child.id)
  let place = 0
  for (const child of after.children) {
    const match = child.id ? known.get(child.id) : unnamed[place++]
    if (!match || match.nodeName !== child.nodeName) flag(child)
    else mark(match, child)
    if (child.id) known.delete(child.id)
  }
  changed = changed || known.size > 0 || place < unnamed.length || attributes(before) !== attributes(after)
  if (changed) flag(after)
}

function flag(element) {
  element.setAttribute("data-livegate-changed", "")
}

function text(element) {
  return [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.replace(/\s+/g, " ")).join("|")
}

function attributes(element) {
  return [...element.attributes].filter(one => !one.name.startsWith("data-livegate")).map(one => `${one.name}=${one.value}`).sort().join("|")
}
