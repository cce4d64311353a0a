"""What the demo's pages look like: the frame around every view, and one template a view."""

from markupsafe import Markup

CSS = """
:root{color-scheme:light dark;--ink:#1c1d22;--dim:#6b6f7b;--paper:#fbfbfd;--card:#fff;--line:#e4e5ec;--accent:#6a35d8;
--good:#177a4b;--font:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
@media(prefers-color-scheme:dark){:root{--ink:#ececf2;--dim:#9a9eab;--paper:#131418;--card:#1b1d23;--line:#2c2f38;
--accent:#a98bff;--good:#5fd39b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--font)}
header{border-bottom:1px solid var(--line);background:var(--card)}
header div{max-width:46rem;margin:auto;padding:.9rem 1.25rem;display:flex;flex-wrap:wrap;gap:.35rem 1.1rem;align-items:baseline}
header b{font-size:1.05rem;letter-spacing:-.01em;margin-right:auto}
header b span{color:var(--dim);font-weight:400;font-size:.9rem;margin-left:.5rem}
nav a{color:var(--dim);text-decoration:none;margin-right:.9rem;white-space:nowrap}
nav a:hover,nav a:focus-visible{color:var(--accent)}
main{max-width:46rem;margin:2.2rem auto;padding:0 1.25rem}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:1.6rem 1.7rem}
h1{font-size:1.4rem;margin:0 0 .4rem;letter-spacing:-.015em}
p{margin:.4rem 0 1rem}.dim{color:var(--dim)}
.big{font-size:4.2rem;font-weight:650;font-variant-numeric:tabular-nums;line-height:1.1;margin:.6rem 0 1rem}
button{font:inherit;font-weight:550;border:1px solid var(--line);background:var(--paper);color:inherit;border-radius:9px;
padding:.5rem 1rem;margin:0 .4rem .4rem 0;cursor:pointer}
button:hover{border-color:var(--accent)}button.main{background:var(--accent);border-color:var(--accent);color:#fff}
@media(prefers-color-scheme:dark){button.main{color:#131418}}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
input[type=text]{font:inherit;width:100%;max-width:24rem;padding:.55rem .8rem;border:1px solid var(--line);border-radius:9px;
background:var(--paper);color:inherit}
label{display:block;margin:.2rem 0 .3rem;font-weight:550}
ul{list-style:none;margin:1rem 0 0;padding:0}
li{display:flex;justify-content:space-between;align-items:center;border-top:1px solid var(--line);padding:.5rem 0}
li button{margin:0;padding:.15rem .7rem}
code{font:.85em ui-monospace,SFMono-Regular,Menlo,monospace;word-break:break-all}
.good{color:var(--good)}
.phx-loading .big,.phx-click-loading{opacity:.55}
"""

NAVIGATION = (
    ("/count", "Counter"),
    ("/form", "Form"),
    ("/stream", "Stream"),
    ("/upload", "Upload"),
    ("/slow", "Slow and crash"),
    ("/login", "Login"),
)


def frame(_: object, content: Markup) -> Markup:
    """The page around a view: header and navigation, where links between views stay on one socket."""
    links = "".join(
        f'<a href="{path}" id="nav-{path[1:]}" data-phx-link="redirect" data-phx-link-state="push">{title}</a>'
        for path, title in NAVIGATION
    )
    return Markup(
        f"<header><div><b>LiveView demo<span>behind livegate</span></b><nav>{links}</nav></div></header>"
        f"<main>{content}</main>"
    )


COUNT = """<section><h1>Counter</h1>
<p class="dim">Every click is one event over the WebSocket, and its answer one diff.</p>
<div class="big" id="count">{{ count }}</div>
<button id="dec" phx-click="dec" aria-label="one less">−</button>
<button id="inc" class="main" phx-click="inc" aria-label="one more">+</button>
<button id="tick" phx-click="tick">{% if ticking %}Ticking…{% else %}Let the server tick{% endif %}</button>
<p><a href="/count?c=10" id="patch" data-phx-link="patch" data-phx-link-state="push">Start at 10</a></p>
</section>"""

FORM = """<section><h1>Form</h1><p class="dim">What you type goes to the server and comes back checked.</p>
<form id="form" phx-change="validate" phx-submit="save"><label for="name">Your name</label>
<input type="text" id="name" name="name" value="{{ name }}" autocomplete="off" phx-debounce="20">
<p id="echo" class="dim">{% if name %}{{ length }} letters: {{ name }}{% else %}Nothing typed yet.{% endif %}</p>
<button id="save" class="main">Save</button></form>
{% if saved %}<p id="saved" class="good">Saved {{ saved }}.</p>{% endif %}
</section>"""

STREAM = """<section><h1>Stream</h1><p class="dim">The server sends items and forgets them; the page keeps them.</p>
<button id="add" class="main" phx-click="add">Add an item</button>
<ul id="items" phx-update="stream">{% for dom_id, item in items %}<li id="{{ dom_id }}"><span>{{ item.text }}</span>
<button phx-click="remove" phx-value-id="{{ item.id }}">Remove</button></li>{% endfor %}</ul></section>"""

UPLOAD = """<section><h1>Upload</h1><p class="dim">A file goes through the WebSocket in chunks.</p>
<form id="upload-form" phx-submit="save" phx-change="validate">{{ config | live_file_input }}
<p>{% for entry in config.entries %}<span class="dim">{{ entry.name }}: {{ entry.progress }} %</span> {% endfor %}</p>
<button id="send" class="main">Upload</button></form>
{% if digest %}<p id="result" class="good">{{ name }}, {{ size }} bytes<br><code id="digest">{{ digest }}</code></p>{% endif %}
</section>"""

SLOW = """<section><h1>Slow and crash</h1><p class="dim">An event that takes 700 ms, and one that ends the view.</p>
<button id="slow" class="main" phx-click="slow">Wait 700 ms</button>
<button id="crash" phx-click="crash">Crash the view</button>
<p>Waited <b id="waited">{{ waited }}</b> times since the view began at <span id="born">{{ born }}</span>.</p></section>"""

LOGIN = """<section><h1>Login</h1>{% if user %}
<p>You are <b id="user">{{ user }}</b>, says the session cookie.</p>
<form action="/logout" method="post"><button id="logout">Log out</button></form>{% else %}
<p class="dim">An ordinary form: it sets a cookie that the LiveView then reads.</p>
<form action="/session" method="post"><label for="user-name">Name</label>
<input type="text" id="user-name" name="user" autocomplete="off" required>
<p><button id="login" class="main">Log in</button></p></form>{% endif %}</section>"""

ECHO = (
    """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Echo</title><style>%s</style><header><div><b>Echo<span>behind livegate</span></b></div></header><main><section>
<h1>Echo</h1><p class="dim">A plain WebSocket. Try <code>close 4001 bye</code>, <code>drop</code>, <code>burst 5 10</code>.</p>
<form id="form"><input type="text" id="text" aria-label="message" autocomplete="off" autofocus>
<button class="main">Send</button></form><ul id="log" aria-live="polite"></ul></section></main><script>
const log=(t)=>{const li=document.createElement("li");li.textContent=t;document.getElementById("log").prepend(li)};
const ws=new WebSocket(`${location.protocol.replace("http","ws")}//${location.host}/ws`);
ws.onopen=()=>log("open");ws.onmessage=(m)=>log(m.data);ws.onclose=(e)=>log(`closed ${e.code} ${e.reason}`);
document.getElementById("form").onsubmit=(e)=>{e.preventDefault();const i=document.getElementById("text");ws.send(i.value);i.value=""};
</script></html>"""
    % CSS
)
