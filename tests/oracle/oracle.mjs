// LiveView's own renderers: a line {version, steps: [rendered, diff, ...]} in, a line of the HTML after each step out.
import {build} from "esbuild"
import {createInterface} from "node:readline"
import {mkdtempSync} from "node:fs"
import {tmpdir} from "node:os"
import {join} from "node:path"
import {pathToFileURL} from "node:url"

// The oldest ones put attributes on a component's root by way of the DOM; here they get an element that stays as it is.
globalThis.Node = {ELEMENT_NODE: 1, TEXT_NODE: 3}
globalThis.document = {
  createElement: () => ({
    innerHTML: "",
    content: {childNodes: [{nodeType: 1, id: "x", getAttribute: () => null, setAttribute: () => {}}]},
  }),
}
globalThis.window = globalThis
console.error = () => {}

const folder = mkdtempSync(join(tmpdir(), "oracle-"))
const renderers = {}
for(const version of ["lv018", "lv020", "lv10", "lv11", "lv12"]){
  const outfile = join(folder, `${version}.mjs`)
  const entry = join(import.meta.dirname, "node_modules", version, "assets/js/phoenix_live_view/rendered.js")
  await build({entryPoints: [entry], bundle: true, format: "esm", outfile, logLevel: "error"})
  renderers[version] = (await import(pathToFileURL(outfile))).default
}

function html(rendered){
  const components = rendered.rendered.c || {}
  for(const component of Object.values(components)){ component.reset = true }
  const found = rendered.recursiveToString(rendered.rendered, components, null, false, {}, null)
  return Array.isArray(found) ? found[0] : found.buffer
}

function run({version, steps}){
  const Rendered = renderers[version]
  let rendered = null
  return steps.map((step) => {
    try {
      if(step.destroy){ rendered.pruneCIDs(step.destroy); return null }
      const {diff} = Rendered.extract(step)
      if(rendered === null){ rendered = new Rendered("phx-test", diff) } else { rendered.mergeDiff(diff) }
      return html(rendered)
    } catch (error) {
      return {error: String(error)}
    }
  })
}

process.stdout.write("ready\n")
for await (const line of createInterface({input: process.stdin})){
  process.stdout.write(JSON.stringify(run(JSON.parse(line))) + "\n")
}
