"""Plain HTTP routes of the demo's LiveView app, for trying what a gateway does to requests and responses."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

BLOCK = bytes(range(256)) * 256
MAX_BODY_BYTES = 1 << 30
MAX_EVENTS = 3600
MAX_WAIT_S = 3600.0
MAX_FORM_BYTES = 4096
MAX_NAME_LETTERS = 40


async def headers(request: Request) -> Response:
    """Return the request's header fields in order, as pairs; names in lower case, as in ASGI."""
    return JSONResponse([[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw])


async def cookies(_: Request) -> Response:
    """Set two cookies; a gateway that joins the Set-Cookie fields or drops one breaks logins."""
    response = PlainTextResponse("two cookies\n")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


async def sse(request: Request) -> Response:
    """Send `n` Server-Sent Events, `every` seconds apart, the first at once."""
    count = int(_number(request, "n", 5, MAX_EVENTS))
    every_s = _number(request, "every", 1, MAX_WAIT_S)

    async def events() -> AsyncIterator[str]:
        for number in range(count):
            if number:
                await asyncio.sleep(every_s)
            yield f"data: {number}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def poll(request: Request) -> Response:
    """Respond after `wait` seconds."""
    wait_s = _number(request, "wait", 10, MAX_WAIT_S)
    await asyncio.sleep(wait_s)
    return JSONResponse({"waited": wait_s})


async def download(request: Request) -> Response:
    """Stream `n` bytes, 0 to 255 repeatedly, with a Content-Length."""
    size = int(_number(request, "n", 0, MAX_BODY_BYTES))

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, size, len(BLOCK)):
            yield BLOCK[: size - start]

    return StreamingResponse(blocks(), media_type="application/octet-stream", headers={"content-length": str(size)})


async def upload_sink(request: Request) -> Response:
    """Read a body as a stream; return its length and digest."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return JSONResponse({"bytes": size, "sha256": digest.hexdigest()})


async def healthz(_: Request) -> Response:
    """Return 200 when the app is up."""
    return PlainTextResponse("ok\n")


async def log_in(request: Request) -> Response:
    """Store the form's `user` in the session, a signed cookie; 413 for a form that is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a form of at most {MAX_FORM_BYTES} bytes, please"
            )
    user = parse_qs(body.decode("utf-8", "replace")).get("user", [""])[0].strip()[:MAX_NAME_LETTERS]
    if user:
        request.session["user"] = user
    return RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)


async def log_out(request: Request) -> Response:
    """Clear the session."""
    request.session.clear()
    return RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)


async def home(_: Request) -> Response:
    """Redirect to the counter, which is the first page."""
    return RedirectResponse("/count")


ROUTES = (
    Route("/", home),
    Route("/headers", headers),
    Route("/cookies", cookies),
    Route("/sse", sse),
    Route("/poll", poll),
    Route("/bytes", download),
    Route("/upload-sink", upload_sink, methods=["POST"]),
    Route("/healthz", healthz),
    Route("/session", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
)


def _number(request: Request, name: str, default: float, most: float) -> float:
    """Return a number from 0 to `most` from the query; raise 400 for anything else."""
    text = request.query_params.get(name, str(default))
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} is {text!r}: a number from 0 to {most:g}, please")
    return number
