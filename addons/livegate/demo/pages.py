"""Templates of the demo: the document around every view, and one template per view. Used by `views` and `live`.

Templates are PyView's: `{{ }}` is escaped. Every control has an id, which tests hold on to.
"""

from html import escape
from pathlib import Path
from typing import Any

STATIC = Path(__file__).with_name("static")

NAVIGATION = (
    ("/count", "Counter"),
    ("/form", "Form"),
    ("/stream", "Stream"),
    ("/navigate", "Navigate"),
    ("/nested", "Nested"),
    ("/upload", "Upload"),
    ("/slow", "Slow and crash"),
    ("/login", "Login"),
    ("/private", "Private"),
    ("/admin", "Admin"),
)


def root(context: Any) -> str:
    """Return the document around a view; PyView supplies title, content, tokens and the view's id. All URLs are local."""
    title = escape(context["title"] or "LiveView")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="csrf-token" content="{escape(context["csrf_token"])}">
<title data-suffix=" · livegate demo">{title} · livegate demo</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/demo.css">
<script defer src="/assets/transport.js"></script>
<script defer src="/static/assets/app.js"></script>
</head>
<body>
<div data-phx-main="true" data-phx-session="{escape(context["session"])}" data-phx-static="" id="phx-{context["id"]}">
{context["content"]}
</div>
</body>
</html>
"""


def view(path: str) -> str:
    """Return the template of the view at a path: header, navigation with this page marked, and content.

    The template of a child view is its content alone.
    """
    if path in _CHILDREN:
        return _CHILDREN[path]
    return _FRAME.replace("LINKS", "\n".join(_link(*entry, here=path) for entry in NAVIGATION)) + _VIEWS[path]


def _link(path: str, title: str, *, here: str) -> str:
    mark = ' aria-current="page"' if path == here else ""
    return f'<a href="{path}" id="nav-{path[1:]}" data-phx-link="redirect" data-phx-link-state="push"{mark}>{title}</a>'


_FRAME = """<header class="top">
<a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="28" height="28">
<b>livegate</b><span>LiveView demo</span></a>
<p class="lost" id="lost" role="status">Connection lost. Reconnecting…</p>
<nav aria-label="Pages">LINKS</nav>
</header>"""

_COUNT = """<main><section><h1>Counter</h1>
<p class="lead">Every click is one event over the WebSocket, and its answer one small diff.</p>
<output class="big" id="count">{{ count }}</output>
<div class="row" phx-window-keydown="key">
<button id="dec" phx-click="dec" aria-label="one less">&minus;</button>
<button id="inc" class="main" phx-click="inc" aria-label="one more">+</button>
<button id="tick" phx-click="tick">{% if ticking %}Stop the server{% else %}Let the server count{% endif %}</button>
<a class="button" href="/count?c=10" id="patch" data-phx-link="patch" data-phx-link-state="push">Start at 10</a>
</div>
<p class="hint"><kbd>↑</kbd> and <kbd>↓</kbd> count, too.</p>
</section></main>"""

_FORM = """<main><section><h1>Form</h1>
<p class="lead">What you type goes to the server, and comes back checked.</p>
<form id="form" phx-change="validate" phx-submit="save" novalidate>
<label for="name">Your name</label>
<input type="text" id="name" name="name" value="{{ name }}" autocomplete="off" maxlength="80" phx-debounce="20">
<p id="name-error" class="bad" role="alert">{{ name_error }}</p>
<label for="email">E-mail <span class="dim">(if you like)</span></label>
<input type="text" inputmode="email" id="email" name="email" value="{{ email }}"
autocomplete="off" maxlength="80" phx-debounce="20">
<p id="email-error" class="bad" role="alert">{{ email_error }}</p>
<p id="echo" class="hint">
{% if name %}{{ length }} letter{% if length != 1 %}s{% endif %}: {{ name }}{% else %}Nothing typed yet.{% endif %}</p>
<div class="row"><button id="save" class="main">Save</button></div></form>
{% if saved %}<p id="saved" class="good">Saved {{ saved }}.</p>{% endif %}
</section></main>"""

_STREAM = """<main><section><h1>Stream</h1>
<p class="lead">The server sends the items and forgets them; only the page keeps them.</p>
<div class="row"><button id="add" class="main" phx-click="add">Add on top</button>
<button id="append" phx-click="append">Add below</button></div>
<ul id="items" phx-update="stream">{% for dom_id, item in items %}<li id="{{ dom_id }}"><span>{{ item.text }}</span>
<button class="small" phx-click="remove" phx-value-id="{{ item.id }}">Remove</button></li>{% endfor %}</ul>
</section></main>"""

_NAVIGATE = """<main><section><h1>Navigate</h1>
<p class="lead">A patch changes the address and keeps the view; navigation mounts another view on the same socket.</p>
<p class="steps">Step <b id="step">{{ step }}</b> of {{ steps }}</p>
<div class="row">
<a class="button" id="step-back"
href="/navigate?step={{ previous }}" data-phx-link="patch" data-phx-link-state="push">Back</a>
<a class="button main" id="step-next"
href="/navigate?step={{ next }}" data-phx-link="patch" data-phx-link-state="push">Next</a>
<button id="server-patch" phx-click="server-patch">Server: last step</button>
<button id="server-navigate" phx-click="server-navigate">Server: counter</button>
</div>
<p class="hint">This view was mounted as <code id="mounted">{{ mounted }}</code>; a patch does not change that.</p>
<p class="hint">This tab uses <a id="use-longpoll" href="/navigate?transport=longpoll">long-poll</a> or
<a id="use-websocket" href="/navigate?transport=websocket">a WebSocket</a>, until it is closed.</p>
</section></main>"""

_NESTED = """<main><section><h1>TITLE</h1>
<p class="lead">The clock is a LiveView inside of this one: it crashes alone. The player is sticky: it plays on when you
<a id="OTHER_ID" href="OTHER" data-phx-link="redirect" data-phx-link-state="push">go to the other page</a>.</p>
<div class="row"><button id="change" class="main" phx-click="change">Change this page</button>
<output id="changed">{{ changed }}</output></div>
<div id="clock" data-phx-session="{% if parent %}{{ session }}{% endif %}" data-phx-static=""
data-phx-parent-id="{{ parent }}"></div>
<div id="player" data-phx-session="{{ session }}" data-phx-static="" data-phx-sticky=""></div>
</section></main>"""


def _nested(title: str, id_: str, other: str) -> str:
    return _NESTED.replace("TITLE", title).replace("OTHER_ID", id_).replace("OTHER", other)


_CLOCK = """<div class="row"><button id="clock-tick" phx-click="clock-tick">Tick</button>
<span>The nested clock ticked <b id="ticks">{{ ticks }}</b> times in <code id="clock-born">{{ born }}</code>.</span>
<button id="clock-crash" class="danger" phx-click="clock-crash">Crash the clock</button></div>"""

_PLAYER = """<div class="row"><button id="play" phx-click="play">Play</button>
<span>The sticky player played <b id="played">{{ played }}</b> times.</span></div>"""

_UPLOAD = """<main><section><h1>Upload</h1>
<p class="lead">A file of at most 50 MiB goes through the WebSocket in chunks of 64 KiB.</p>
<form id="upload-form" phx-submit="save" phx-change="validate">{{ config | live_file_input }}
{% for entry in config.entries %}<p class="entry"><span>{{ entry.name }}</span>
<progress class="progress" value="{{ entry.progress }}" max="100">{{ entry.progress }} %</progress></p>
{% for error in entry.errors %}<p class="bad upload-error" role="alert">{{ error.message }}</p>{% endfor %}{% endfor %}
<div class="row"><button id="send" class="main">Upload</button></div></form>
{% if digest %}<p id="result" class="good">{{ name }}, {{ size }} bytes<br>
<code id="digest">{{ digest }}</code></p>{% endif %}
</section></main>"""

_SLOW = """<main><section><h1>Slow and crash</h1>
<p class="lead">One event takes 700 ms. The other raises an exception: the view is lost, and joins again.</p>
<div class="row"><button id="slow" class="main" phx-click="slow">Wait 700 ms</button>
<button id="crash" class="danger" phx-click="crash">Crash the view</button></div>
<p class="hint">Waited <b id="waited">{{ waited }}</b> times in the view <code id="born">{{ born }}</code>.</p>
</section></main>"""

_LOGIN = """<main><section><h1>Login</h1>{% if user %}
<p class="lead">You are <b id="user">{{ user }}</b>, says the session cookie.</p>
<form action="/logout" method="post"><button id="logout">Log out</button></form>{% else %}
<p class="lead">An ordinary form: it sets a cookie, which the LiveView then reads.</p>
<form action="/session" method="post"><label for="user-name">Name</label>
<input type="text" id="user-name" name="user" autocomplete="off" maxlength="40" required>
<div class="row"><button id="login" class="main">Log in</button></div></form>{% endif %}
</section></main>"""

_PRIVATE = """<main><section><h1>Private</h1>
<p class="lead">Only those who are logged in see this: <b id="private-user">{{ user }}</b>. All others are sent to the login.</p>
</section></main>"""

_ADMIN = """<main><section><h1>Admin</h1>
<p class="lead" id="admin">This page is of another live_session: the join was refused as unauthorized, and the browser loaded
the page anew.</p></section></main>"""

_CHILDREN = {"/-/clock": _CLOCK, "/-/player": _PLAYER}
_VIEWS = {
    "/count": _COUNT,
    "/form": _FORM,
    "/stream": _STREAM,
    "/navigate": _NAVIGATE,
    "/upload": _UPLOAD,
    "/slow": _SLOW,
    "/login": _LOGIN,
    "/nested": _nested("Nested views", "to-second", "/nested/second"),
    "/nested/second": _nested("Nested views, second page", "to-first", "/nested"),
    "/private": _PRIVATE,
    "/admin": _ADMIN,
}
