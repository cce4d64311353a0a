"""The demo's LiveView app, and plain HTTP routes to try a gateway with: `python -m livegate.demo.live --port 4000`."""

import argparse
import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from importlib.resources import files
from urllib.parse import parse_qs

import uvicorn
from markupsafe import Markup
from pyview import PyView
from pyview.template import defaultRootTemplate
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from livegate.demo import pages, views
from livegate.demo.lifeline import end_with_parent

SECRET = "livegate demo: not a secret"  # noqa: S105 - the demo keeps none, and sessions must outlive a restart
SESSION_COOKIE = "_demo_key"
CHUNK_BYTES = 65_536
MAX_FORM_BYTES = 4096


async def headers(request: Request) -> Response:
    """The request's header fields as they arrived."""
    return JSONResponse([[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw])


async def cookies(request: Request) -> Response:
    """Two cookies at once; a gateway that joins or drops one breaks logins."""
    response = PlainTextResponse("two cookies")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    del request
    return response


async def events(request: Request) -> Response:
    """Server-Sent Events: `n` of them, `every` seconds apart, the first at once."""
    count, every = int(request.query_params.get("n", "5")), float(request.query_params.get("every", "1"))

    async def body() -> AsyncIterator[str]:
        for number in range(count):
            yield f"data: {number}\n\n"
            if number < count - 1:
                await asyncio.sleep(every)

    return StreamingResponse(body(), media_type="text/event-stream")


async def poll(request: Request) -> Response:
    """A long-poll: answered after `wait` seconds."""
    await asyncio.sleep(float(request.query_params.get("wait", "10")))
    return JSONResponse({"waited": True})


async def data(request: Request) -> Response:
    """`n` bytes."""
    size = int(request.query_params.get("n", "0"))

    async def body() -> AsyncIterator[bytes]:
        left, chunk = size, b"x" * CHUNK_BYTES
        while left > 0:
            yield chunk[:left]
            left -= CHUNK_BYTES

    headers = {"content-length": str(size), "content-encoding": "identity"}
    return StreamingResponse(body(), media_type="application/octet-stream", headers=headers)


async def sink(request: Request) -> Response:
    """Read a body as it comes; answer its length and digest."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return JSONResponse({"bytes": size, "sha256": digest.hexdigest()})


async def health(request: Request) -> Response:
    """Whether the app is up."""
    del request
    return PlainTextResponse("ok")


async def log_in(request: Request) -> Response:
    """Put the name of the form into the session cookie."""
    form = parse_qs((await request.body())[:MAX_FORM_BYTES].decode("utf-8", "replace"))
    request.session["user"] = form.get("user", [""])[0]
    return RedirectResponse("/login", status_code=303)


async def log_out(request: Request) -> Response:
    """Empty the session cookie."""
    request.session.clear()
    return RedirectResponse("/login", status_code=303)


async def home(request: Request) -> Response:
    """The counter is the first page."""
    del request
    return RedirectResponse("/count")


def application() -> PyView:
    """Make the app."""
    os.environ.setdefault("PYVIEW_SECRET", SECRET)
    app = PyView()
    app.rootTemplate = defaultRootTemplate(
        css=Markup(f"<style>{pages.CSS}</style>"),  # noqa: S704 - our own text
        content_wrapper=pages.frame,
        title_suffix=" · livegate demo",
    )
    app.routes.append(Mount("/static", StaticFiles(directory=str(files("pyview") / "static"))))
    for path, view in (
        ("/count", views.CountLive),
        ("/form", views.FormLive),
        ("/stream", views.StreamLive),
        ("/upload", views.UploadLive),
        ("/slow", views.SlowLive),
        ("/login", views.LoginLive),
    ):
        app.add_live_view(path, view)
    for path, endpoint, method in (
        ("/", home, "GET"),
        ("/headers", headers, "GET"),
        ("/cookies", cookies, "GET"),
        ("/sse", events, "GET"),
        ("/poll", poll, "GET"),
        ("/bytes", data, "GET"),
        ("/upload-sink", sink, "POST"),
        ("/healthz", health, "GET"),
        ("/session", log_in, "POST"),
        ("/logout", log_out, "POST"),
    ):
        app.routes.append(Route(path, endpoint, methods=[method]))
    app.add_middleware(SessionMiddleware, secret_key=SECRET, session_cookie=SESSION_COOKIE)
    return app


def main() -> None:
    """Serve the app until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4000)
    parser.add_argument("--tls", metavar="PEM", help="serve https with this certificate and key")
    parser.add_argument("--exit-with-parent", action="store_true")
    arguments = parser.parse_args()
    if arguments.exit_with_parent:
        end_with_parent()
    print(json.dumps({"serving": arguments.port}), flush=True)  # noqa: T201 - for whoever started it
    uvicorn.run(
        application(),
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        proxy_headers=False,
        server_header=False,
        ssl_certfile=arguments.tls,
        ssl_keyfile=arguments.tls,
    )


if __name__ == "__main__":
    main()
