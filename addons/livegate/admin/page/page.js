// Page of an app at an earlier time, without scripts and network access. Changes are outlined.

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
const MARK = "data-livegate-changed"
const DEFAULT_STYLE = "body{font:15px/1.5 system-ui,sans-serif;margin:16px;color:#16181d;background:#fff}"
const MARKED = `[${MARK}]{outline:2px solid #d97706!important;outline-offset:2px;box-shadow:0 0 0 4px #fde68a80!important}`
const REMOVED = "script, noscript, meta, base, link, style, title, iframe, frame, object, embed, portal, template"
const REMOVED_ATTRIBUTES = ["href", "xlink:href", "action", "formaction", "src", "srcset", "poster", "background", "ping", "data", "autofocus", "target", "http-equiv"]
const REMOTE_URL = /url\((?!\s*["']?(?:data:|#))[^)]*\)/gi

// after, before: HTML; style: {css, html, body: attributes of the app's page}
export function pageDocument(after, before, style) {
  const page = parsed(after)
  if (before) mark(parsed(before), page)
  const changed = page.querySelectorAll(`[${MARK}]`).length + page.hasAttribute(MARK)
  const appStyle = style && style.css ? withoutNetwork(style.css) : DEFAULT_STYLE
  const root = document.implementation.createHTMLDocument("")
  root.documentElement.lang = "en"
  for (const [element, given] of [[root.documentElement, style && style.html], [root.body, style && style.body]]) {
    for (const [name, value] of Object.entries(given || {})) element.setAttribute(name, value)
  }
  root.head.innerHTML = `<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}">`
  for (const text of [appStyle, MARKED]) root.head.append(Object.assign(root.createElement("style"), { textContent: text }))
  root.body.setAttribute("inert", "")
  root.body.append(root.importNode(page, true))
  return { changed, text: `<!doctype html>${root.documentElement.outerHTML}` }
}

// Element of a view in an inert document, without scripts, links and remote resources.
function parsed(html) {
  const found = new DOMParser().parseFromString(html, "text/html"), body = found.createElement("div")
  body.setAttribute("data-phx-main", "")
  body.append(...found.body.childNodes)
  for (const element of body.querySelectorAll(REMOVED)) element.remove()
  for (const element of body.querySelectorAll("*")) {
    for (const { name, value } of [...element.attributes]) {
      const isLocal = /^\s*(?:data:image\/|#)/i.test(value)
      if (name.startsWith("on") || (REMOVED_ATTRIBUTES.includes(name) && !isLocal)) element.removeAttribute(name)
      else if (name === "style") element.setAttribute(name, withoutNetwork(value))
    }
  }
  return body
}

function withoutNetwork(css) {
  return css.replace(/@import[^;]*;?/gi, "").replace(REMOTE_URL, "none").replace(/<\//g, "<\\/")
}

// Children with an id are matched by it, others by their position.
function mark(before, after) {
  const known = new Map([...before.children].filter(child => child.id).map(child => [child.id, child]))
  const unnamed = [...before.children].filter(child => !child.id)
  let position = 0
  for (const child of after.children) {
    const match = child.id ? known.get(child.id) : unnamed[position++]
    if (!match || match.nodeName !== child.nodeName) flag(child)
    else mark(match, child)
    if (child.id) known.delete(child.id)
  }
  const fewer = known.size > 0 || position < unnamed.length
  if (fewer || text(before) !== text(after) || attributes(before) !== attributes(after)) flag(after)
}

function flag(element) {
  element.setAttribute(MARK, "")
}

function text(element) {
  return [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.replace(/\s+/g, " ")).join("|")
}

function attributes(element) {
  return [...element.attributes].filter(one => !one.name.startsWith("data-livegate")).map(one => `${one.name}=${one.value}`).sort().join("|")
}
