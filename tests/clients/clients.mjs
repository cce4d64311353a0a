// Many of Phoenix's own clients, of many versions, in one process, as they are in a browser's pages. Argument: the base
// URL. Commands come as lines of JSON, and each is answered by one:
//   {"open": [{id, version, transport, fallback, cookie, bytes}], "eager": true}   connects and joins; answers when all
//                                      have joined once, or ("eager") at once. The cookie is sent, and pushes are as
//                                      long as "bytes" says, until the client is refused
//   {"wait": ms, "only": "longpoll"}   answers when each client (of a transport) has been refused or lost since the last
//                                      ask, with those that have not
//   {"ask": ms, "seen": true}    each client pushes until a push is answered, and (with "seen") until it has been refused
//                                once; answers {id: {answered, seen, opens, transport, failed}} after at most ms
import {Agent, request} from "node:http"
import {readFileSync} from "node:fs"
import {createInterface} from "node:readline"
import vm from "node:vm"
import WebSocket from "ws"

const [base] = process.argv.slice(2)
const ASK_AGAIN_MS = 300
const ASK_AGAIN_AT_MOST_MS = 5000 // so that an app on a busy machine is not asked faster than it answers
const clients = new Map()
const failed = []
process.on("uncaughtException", (error) => failed.push(String(error && error.message || error)))

const idOf = (url) => new URL(url).searchParams.get("id")
const saw = (url, what) => {
  const client = clients.get(idOf(url))
  if(!client){ return }
  client.seen.push(what)
  client.cookie = undefined // as one that has expired
}
const agent = new Agent({keepAlive: true, maxSockets: Infinity})

// What the specification says of the events' order; node has none, and with its fetch the client takes another way.
class XMLHttpRequest {
  readyState = 0
  status = 0
  responseText = ""
  timeout = 0
  headers = {}

  open(method, url){ Object.assign(this, {method, url, readyState: 1}) }
  setRequestHeader(name, value){ this.headers[name] = value }
  #end(event){
    if(this.readyState === 4 || this.readyState === 0){ return }
    this.readyState = 4
    if(this.onreadystatechange){ this.onreadystatechange() }
    if(event && this[event]){ this[event]() }
  }
  send(body){
    const cookie = clients.get(idOf(this.url))?.cookie
    const headers = {...this.headers, ...(cookie && {cookie}), ...(body && {"Content-Length": Buffer.byteLength(body)})}
    this.request = request(this.url, {method: this.method, headers, agent}, (response) => {
      const pieces = []
      response.on("data", (piece) => pieces.push(piece)).on("end", () => {
        this.status = response.statusCode
        this.responseText = Buffer.concat(pieces).toString()
        if(this.status !== 200){ saw(this.url, this.status) }
        this.#end("onload")
      }).on("error", () => { saw(this.url, 0); this.#end("onerror") })
    })
    this.request.on("error", () => { if(this.readyState === 1){ saw(this.url, 0) } this.#end("onerror") })
    if(this.timeout){ this.request.setTimeout(this.timeout, () => { this.#end("ontimeout"); this.request.destroy() }) }
    this.request.end(body || undefined)
  }
  abort(){
    if(this.readyState === 1 && this.request){ this.#end(null); this.readyState = 0; this.request.destroy() }
  }
}

class BrowserSocket extends WebSocket {
  static get name(){ return "WebSocket" }
  constructor(url, protocols){
    super(url, protocols, {headers: {...(clients.get(idOf(url))?.cookie && {cookie: clients.get(idOf(url)).cookie})}})
    this.on("error", (error) => saw(url, Number(/response: (\d+)/.exec(error.message)?.[1] ?? 0)))
  }
}

const loaded = new Map()
function phoenix(version){
  if(!loaded.has(version)){
    const file = new URL(`node_modules/phoenix-${version}/priv/static/phoenix.js`, import.meta.url)
    const page = {
      setTimeout, clearTimeout, setInterval, clearInterval, btoa, atob, TextDecoder, TextEncoder, XMLHttpRequest,
      WebSocket: BrowserSocket, location: {protocol: "http:", host: new URL(base).host}, console: {log(){ }},
    }
    page.window = page.self = page
    vm.createContext(page)
    vm.runInContext(readFileSync(file, "utf8"), page, {filename: `phoenix-${version}.js`})
    loaded.set(version, vm.runInContext("typeof Phoenix === 'undefined' ? window.Phoenix : Phoenix", page))
  }
  return loaded.get(version)
}

class Client {
  constructor({id, version, transport, fallback, cookie, bytes}){
    const store = new Map()
    const {Socket, LongPoll} = phoenix(version)
    Object.assign(this, {id, cookie, bytes, seen: [], opens: 0, joins: 0, answered: 0})
    this.socket = new Socket(`${base.replace(/^http/, "ws")}/live`, {
      params: {id},
      ...(transport === "longpoll" && {transport: LongPoll}),
      ...(fallback && {longPollFallbackMs: fallback}),
      sessionStorage: {getItem: (key) => store.get(key) ?? null, setItem: (key, value) => store.set(key, value)},
    })
    this.socket.onOpen(() => { this.opens++ })
    this.channel = this.socket.channel(`room:${id}`, {})
    this.joined = new Promise((resolve) => {
      this.channel.join().receive("ok", () => { this.joins++; resolve() })
    })
  }
  connect(){ this.socket.connect() }
  get transport(){ return this.socket.conn instanceof BrowserSocket ? "websocket" : "longpoll" }
  async ask(until, mustSee){
    const started = this.answered
    const isDone = () => Date.now() >= until || (this.answered > started && (!mustSee || this.seen.length))
    for(let pause = ASK_AGAIN_MS; !isDone(); pause = Math.min(2 * pause, ASK_AGAIN_AT_MOST_MS)){
      const filler = this.bytes && !this.seen.length ? "x".repeat(this.bytes) : ""
      this.channel.push("echo", {filler}).receive("ok", () => { this.answered++ })
      const again = Date.now() + pause
      while(Date.now() < again && !isDone()){ await new Promise((resolve) => setTimeout(resolve, 50)) }
    }
    const {seen, opens, joins} = this
    this.seen = []
    const {transport} = this
    const state = [this.socket.connectionState(), this.channel.state, this.socket.conn && this.socket.conn.readyState]
    return {answered: this.answered > started, seen, opens, joins, transport, state}
  }
}

const all = async (make) => Object.fromEntries(await Promise.all([...clients.values()].map(async (one) => [one.id, await make(one)])))
for await (const line of createInterface({input: process.stdin})){
  const command = JSON.parse(line)
  let answer = {}
  if(command.open){
    for(const spec of command.open){ clients.set(spec.id, new Client(spec)) }
    for(const {id} of command.open){ clients.get(id).connect() }
    if(!command.eager){ await Promise.all(command.open.map(({id}) => clients.get(id).joined)) }
  } else if(command.wait){
    const until = Date.now() + command.wait
    const missing = () => [...clients.values()].filter((one) => (!command.only || one.transport === command.only) && !one.seen.length)
    while(missing().length && Date.now() < until){ await new Promise((resolve) => setTimeout(resolve, 20)) }
    answer = missing().map(({id}) => id)
  } else if(command.ask){
    const until = Date.now() + command.ask
    answer = {clients: await all((one) => one.ask(until, command.seen)), failed: failed.splice(0)}
  }
  process.stdout.write(JSON.stringify(answer) + "\n")
}
process.exit(0)
