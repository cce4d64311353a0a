"""LiveView app of the demo. Run as `python -m livegate.demo.live --port 4000`.

Sessions survive a restart if PYVIEW_SECRET is set, as DemoProcesses does.
"""

import argparse
import contextlib
import json
from importlib.resources import files

import uvicorn
from pyview import PyView
from pyview.secret import get_secret
from pyview.ws_handler import LiveSocketHandler
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from livegate.demo import pages, views
from livegate.demo.app_main import listen, parser
from livegate.demo.channels import Frame, PhoenixSocket
from livegate.demo.longpoll import LongPoll
from livegate.demo.routes import ROUTES

SESSION_COOKIE = "_demo_key"
MAX_HEAD_BYTES = 65_536  # more than the gateway lets through, so that its limit is the one that is met
SHUTDOWN_S = 1


def application() -> Starlette:
    """Create the app. Plain routes are outside of PyView, which would compress their responses."""
    live = PyView()
    live.rootTemplate = pages.root
    for path, view in views.ROUTES:
        live.add_live_view(path, view)
    for path, child in views.CHILD_ROUTES:
        live.view_lookup.add(path, child)

    async def websocket(opened: WebSocket) -> None:
        await serve(opened, live.live_handler)

    routes = [
        *ROUTES,
        WebSocketRoute("/live/websocket", websocket),
        LongPoll(live.live_handler).route,
        Mount("/static", StaticFiles(directory=str(files("pyview") / "static"))),
        Mount("/assets", StaticFiles(directory=pages.STATIC)),
        Mount("/", live),
    ]
    session = Middleware(SessionMiddleware, secret_key=get_secret(), session_cookie=SESSION_COOKIE)
    return Starlette(routes=routes, middleware=[session], lifespan=lambda _: live.router.lifespan_context(live))


async def serve(websocket: WebSocket, handler: LiveSocketHandler) -> None:
    """Serve the views of one tab until its WebSocket ends."""

    async def send(frame: Frame) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.send_text(json.dumps(frame))

    await websocket.accept()
    socket = PhoenixSocket(handler, send)
    try:
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            await socket.receive(dict(message))
    finally:
        await socket.close()


def main() -> None:
    """Serve the app until SIGTERM or SIGINT."""
    options = parser(__doc__, 4000)
    options.add_argument("--tls", metavar="PEM", help="serve https with this certificate and key")
    arguments: argparse.Namespace = options.parse_args()
    listener = listen(arguments)
    config = uvicorn.Config(
        application(),
        log_level="warning",
        http="h11",
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=SHUTDOWN_S,
        proxy_headers=False,
        server_header=False,
        ssl_certfile=arguments.tls,
        ssl_keyfile=arguments.tls,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
