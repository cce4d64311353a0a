"""LiveViews of the demo; each shows one thing that a gateway must not break."""

import asyncio
import hashlib
import secrets
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from pyview import LiveView
from pyview.events import InfoEvent
from pyview.session import serialize_session
from pyview.stream import Stream
from pyview.template import LiveRender, LiveTemplate, Template
from pyview.uploads import UploadConstraints
from pyview.ws_handler import AuthException
from starlette.exceptions import HTTPException

from livegate.demo import pages

SLOW_EVENT_S = 0.7
TICK_S = 1.0
MIN_NAME_LETTERS = 2
MAX_UPLOAD_BYTES = 50 * 1024 * 1024
STEPS = 5
STEP_KEYS = {"ArrowUp": 1, "ArrowDown": -1}


class View(LiveView):  # type: ignore[misc]  # pyview carries no types
    """View that is rendered from the template of its path in `pages`.

    PyView passes a callback's parameters by name, so each declares only those that it reads.
    """

    path: ClassVar[str]
    title: ClassVar[str]
    live_session: ClassVar[str] = "default"
    """Name of its live_session; pages of another one are loaded, not navigated to."""
    template: ClassVar[LiveTemplate]

    def __init_subclass__(cls) -> None:
        cls.template = LiveTemplate(Template(pages.view(cls.path), template_id=cls.path))

    async def mount(self, socket: Any) -> None:
        socket.live_title = self.title
        socket.context = self.first()

    def first(self) -> dict[str, Any]:
        """Return the initial context of the template."""
        return {}

    async def render(self, assigns: Any, meta: Any) -> Any:
        return LiveRender(self.template, assigns, meta)


class CountLive(View):
    """Counter with clicks, arrow keys, a start value from the URL, and ticks from the server."""

    path, title = "/count", "Counter"

    def first(self) -> dict[str, Any]:
        return {"count": 0, "ticking": 0}

    async def handle_params(self, params: dict[str, list[str]], socket: Any) -> None:
        if "c" in params:
            socket.context["count"] = _whole(params["c"][0], 0)

    async def handle_event(self, event: str, payload: Any, socket: Any) -> None:
        context = socket.context
        match event:
            case "inc":
                context["count"] += 1
            case "dec":
                context["count"] -= 1
            case "key":
                context["count"] += STEP_KEYS.get(payload.get("key"), 0)
            case "tick":
                # A fresh number for every start: ticks that were under way before a stop do not count.
                context["ticking"] = 0 if context["ticking"] else secrets.randbits(32) + 1
                self._tick_later(socket)

    async def handle_info(self, event: InfoEvent, socket: Any) -> None:
        if event.payload == socket.context["ticking"]:
            socket.context["count"] += 1
            self._tick_later(socket)

    def _tick_later(self, socket: Any) -> None:
        if socket.context["ticking"]:
            socket.schedule_info_once(InfoEvent("tick", socket.context["ticking"]), TICK_S)


class FormLive(View):
    """Form that is validated while the user types."""

    path, title = "/form", "Form"

    def first(self) -> dict[str, Any]:
        return {"name": "", "length": 0, "email": "", "name_error": "", "email_error": "", "saved": ""}

    async def handle_event(self, event: str, payload: Any, socket: Any) -> None:
        name, email = (payload.get(field, [""])[0] for field in ("name", "email"))
        short = 0 < len(name) < MIN_NAME_LETTERS or (event == "save" and not name)
        user, at, domain = email.partition("@")
        wrong = bool(email) and not (user and at and "." in domain.strip("."))
        socket.context |= {
            "name": name,
            "length": len(name),
            "email": email,
            "name_error": f"At least {MIN_NAME_LETTERS} letters, please." if short else "",
            "email_error": "This does not look like an address." if wrong else "",
            "saved": name if event == "save" and not short and not wrong else "",
        }


class StreamLive(View):
    """Stream: a list that the server does not keep."""

    path, title = "/stream", "Stream"

    def first(self) -> dict[str, Any]:
        return {"items": Stream([_item(number) for number in (1, 2, 3)], name="items"), "next": 4}

    async def handle_event(self, event: str, payload: Any, socket: Any) -> None:
        items: Any = socket.context["items"]
        match event:
            case "add":
                items.insert(_item(socket.context["next"]), at=0)
                socket.context["next"] += 1
            case "append":
                items.insert(_item(socket.context["next"]))
                socket.context["next"] += 1
            case "remove":
                items.delete_by_id(f"items-{payload['id']}")


class NavigateLive(View):
    """Patches of the URL, which keep the view, and navigation, which mounts another view on the same socket."""

    path, title = "/navigate", "Navigate"

    def first(self) -> dict[str, Any]:
        return {"step": 1, "previous": 1, "next": 2, "steps": STEPS, "mounted": secrets.token_hex(4)}

    async def handle_params(self, params: dict[str, list[str]], socket: Any) -> None:
        step = min(max(_whole(params.get("step", ["1"])[0], 1), 1), STEPS)
        socket.context |= {"step": step, "previous": max(step - 1, 1), "next": min(step + 1, STEPS)}

    async def handle_event(self, event: str, socket: Any) -> None:
        match event:
            case "server-patch":
                await socket.push_patch(self.path, {"step": STEPS})
            case "server-navigate":
                await socket.push_navigate(CountLive.path)


class UploadLive(View):
    """Upload through the WebSocket, in chunks."""

    path, title = "/upload", "Upload"

    async def mount(self, socket: Any) -> None:
        await super().mount(socket)
        constraints = UploadConstraints(max_file_size=MAX_UPLOAD_BYTES, max_files=1, accept=[])
        socket.context["config"] = socket.allow_upload("file", constraints=constraints)

    def first(self) -> dict[str, Any]:
        return {"name": "", "size": 0, "digest": ""}

    async def handle_event(self, event: str, socket: Any) -> None:
        if event != "save":
            return
        with socket.context["config"].consume_uploads() as uploads:
            for upload in uploads:
                size, digest = await asyncio.to_thread(_measure, Path(upload.file.name))
                socket.context |= {"name": upload.entry.name, "size": size, "digest": digest}


class SlowLive(View):
    """Slow event, and an event that crashes the view."""

    path, title = "/slow", "Slow and crash"

    def first(self) -> dict[str, Any]:
        return {"waited": 0, "born": secrets.token_hex(4)}

    async def handle_event(self, event: str, socket: Any) -> None:
        if event == "crash":
            msg = "the crash button was pressed"
            raise RuntimeError(msg)
        await asyncio.sleep(SLOW_EVENT_S)
        socket.context["waited"] += 1


class LoginLive(View):
    """Shows who the session cookie says you are."""

    path, title = "/login", "Login"

    async def mount(self, socket: Any, session: Any = None) -> None:
        await super().mount(socket)
        socket.context["user"] = (session or {}).get("user", "")


class PrivateLive(View):
    """Page for logged-in users; others are redirected to the login, over the socket as well."""

    path, title = "/private", "Private"

    async def mount(self, socket: Any, session: Any = None) -> None:
        await super().mount(socket)
        user = (session or {}).get("user", "")
        if not user and socket.connected:
            refuse(socket, {"redirect": {"to": LoginLive.path}})
        if not user:
            raise HTTPException(HTTPStatus.SEE_OTHER, headers={"Location": LoginLive.path})
        socket.context["user"] = user


class AdminLive(View):
    """Page of another live_session: navigation to it is refused, and the browser loads it."""

    path, title, live_session = "/admin", "Admin", "admin"


class NestedLive(View):
    """Page with two child views: one nested, and one sticky, which survives navigation."""

    path, title = "/nested", "Nested"

    async def mount(self, socket: Any) -> None:
        await super().mount(socket)
        # Only on the socket has the page an id that the nested view can name as its parent's.
        parent = socket.topic.removeprefix("lv:") if socket.connected else ""
        socket.context |= {"parent": parent, "session": serialize_session({}), "changed": 0}

    async def handle_event(self, event: str, socket: Any) -> None:
        if event == "change":
            socket.context["changed"] += 1


class SecondLive(NestedLive):
    """Second page with the same sticky view."""

    path, title = "/nested/second", "Nested, second page"


class ClockLive(View):
    """Nested view, which can crash without its parent."""

    path, title = "/-/clock", ""

    async def mount(self, socket: Any) -> None:
        socket.context = {"ticks": 0, "born": secrets.token_hex(4)}

    async def handle_event(self, event: str, socket: Any) -> None:
        if event == "clock-crash":
            msg = "the nested view's crash button was pressed"
            raise RuntimeError(msg)
        socket.context["ticks"] += 1


class PlayerLive(View):
    """Sticky view, whose count survives navigation."""

    path, title = "/-/player", ""

    async def mount(self, socket: Any) -> None:
        socket.context = {"played": 0}

    async def handle_event(self, event: str, socket: Any) -> None:
        if event == "play":
            socket.context["played"] += 1


_PAGES: tuple[type[View], ...] = (
    CountLive,
    FormLive,
    StreamLive,
    NavigateLive,
    NestedLive,
    SecondLive,
    UploadLive,
    SlowLive,
    LoginLive,
    PrivateLive,
    AdminLive,
)
ROUTES: tuple[tuple[str, type[View]], ...] = tuple((view.path, view) for view in _PAGES)
CHILDREN: dict[str, str] = {"clock": ClockLive.path, "player": PlayerLive.path}
"""Paths of the child views by the id of their element; only the socket uses them."""
CHILD_ROUTES: tuple[tuple[str, type[View]], ...] = ((ClockLive.path, ClockLive), (PlayerLive.path, PlayerLive))
_LIVE_SESSIONS = {view.path: view.live_session for view in _PAGES}


def live_session_at(path: str) -> str:
    """Return the live_session of a page's path."""
    return _LIVE_SESSIONS.get(path, View.live_session)


def refuse(socket: Any, response: dict[str, Any]) -> NoReturn:
    """Refuse the join of a view from within its `mount`; the client gets `response`, such as a redirect."""
    socket.websocket.refusal = response
    raise AuthException


def _item(number: int) -> dict[str, Any]:
    return {"id": number, "text": f"Item {number}"}


def _whole(text: str, otherwise: int) -> int:
    """Return an integer of at most nine digits from outside, or a default."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else otherwise  # noqa: PLR2004 - nine digits


def _measure(file: Path) -> tuple[int, str]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return stream.tell(), digest
