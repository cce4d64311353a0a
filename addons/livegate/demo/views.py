"""The demo's LiveViews; each shows one thing that a gateway must not break."""

import asyncio
import hashlib
import secrets
from pathlib import Path
from typing import Any, ClassVar

from pyview import LiveView
from pyview.events import InfoEvent
from pyview.stream import Stream
from pyview.template import LiveRender, LiveTemplate, Template
from pyview.uploads import UploadConstraints

from livegate.demo import pages

SLOW_EVENT_S = 0.7
TICK_S = 1.0
MIN_NAME_LETTERS = 2
MAX_UPLOAD_BYTES = 50 * 1024 * 1024
STEPS = 5
STEP_KEYS = {"ArrowUp": 1, "ArrowDown": -1}


class View(LiveView):  # type: ignore[misc]  # pyview carries no types
    """A view that is rendered from the template of its path in `pages`.

    PyView fills a callback's parameters by name, so each declares only those that it reads.
    """

    path: ClassVar[str]
    title: ClassVar[str]
    template: ClassVar[LiveTemplate]

    def __init_subclass__(cls) -> None:
        cls.template = LiveTemplate(Template(pages.view(cls.path), template_id=cls.path))

    async def mount(self, socket: Any) -> None:
        socket.live_title = self.title
        socket.context = self.first()

    def first(self) -> dict[str, Any]:
        """What the template shows at first."""
        return {}

    async def render(self, assigns: Any, meta: Any) -> Any:
        return LiveRender(self.template, assigns, meta)


class CountLive(View):
    """A counter: clicks, arrow keys, a start value from the URL, and a server that counts by itself."""

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
    """A form that is checked while it is typed."""

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
    """A list that the server does not keep."""

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
    """Patches of the URL, which keep the view, and navigation, which mounts another one on the same socket."""

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
    """An upload through the WebSocket, in chunks."""

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
    """An event that takes its time, and one that crashes the view."""

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


ROUTES: tuple[tuple[str, type[View]], ...] = tuple(
    (view.path, view) for view in (CountLive, FormLive, StreamLive, NavigateLive, UploadLive, SlowLive, LoginLive)
)


def _item(number: int) -> dict[str, Any]:
    return {"id": number, "text": f"Item {number}"}


def _whole(text: str, otherwise: int) -> int:
    """A whole number of at most nine digits that came from outside."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else otherwise  # noqa: PLR2004 - nine digits


def _measure(file: Path) -> tuple[int, str]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return stream.tell(), digest
