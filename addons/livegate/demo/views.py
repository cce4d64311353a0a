"""The demo's LiveViews; each shows one thing that a gateway must not break."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyview import LiveView
from pyview.live_view import LiveTemplate
from pyview.stream import Stream
from pyview.template import LiveRender
from pyview.uploads import UploadConstraints
from pyview.vendor.ibis import Template

from livegate.demo import pages

SLOW_EVENT_S = 0.7
MAX_UPLOAD_BYTES = 50 * 1024 * 1024


class _View(LiveView[Any]):  # type: ignore[misc]  # pyview is untyped
    """A view whose template stands in `pages`."""

    page: str

    async def render(self, assigns: Any, meta: Any) -> Any:
        return LiveRender(LiveTemplate(Template(self.page)), assigns, meta)


class CountLive(_View):
    """A counter that can also count by itself."""

    page = pages.COUNT

    async def mount(self, socket: Any, session: Any) -> None:
        del session
        socket.context = {"count": 0, "ticking": False}
        socket.live_title = "Counter"

    async def handle_params(self, url: Any, params: Any, socket: Any) -> None:
        del url
        if "c" in params:
            socket.context["count"] = int(params["c"][0])

    async def handle_event(self, event: Any, payload: Any, socket: Any) -> None:
        del payload
        if event == "tick" and not socket.context["ticking"]:
            socket.context["ticking"] = True
            socket.schedule_info("tick", 1)
        elif event in ("inc", "dec"):
            socket.context["count"] += 1 if event == "inc" else -1

    async def handle_info(self, event: Any, socket: Any) -> None:
        del event
        socket.context["count"] += 1


class FormLive(_View):
    """A form that is checked while it is typed."""

    page = pages.FORM

    async def mount(self, socket: Any, session: Any) -> None:
        del session
        socket.context = {"name": "", "length": 0, "saved": ""}
        socket.live_title = "Form"

    async def handle_event(self, event: Any, payload: Any, socket: Any) -> None:
        name = payload.get("name", [""])[0]
        socket.context |= {"name": name, "length": len(name)}
        if event == "save":
            socket.context["saved"] = name


class StreamLive(_View):
    """A list that the server does not keep."""

    page = pages.STREAM

    async def mount(self, socket: Any, session: Any) -> None:
        del session
        first = [{"id": number, "text": f"Item {number}"} for number in (1, 2, 3)]
        socket.context = {"items": Stream(first, name="items"), "next": 4}
        socket.live_title = "Stream"

    async def handle_event(self, event: Any, payload: Any, socket: Any) -> None:
        context = socket.context
        if event == "add":
            context["items"].insert({"id": context["next"], "text": f"Item {context['next']}"}, at=0)
            context["next"] += 1
        elif event == "remove":
            context["items"].delete_by_id(f"items-{payload['id']}")


class UploadLive(_View):
    """An upload through the WebSocket, in chunks."""

    page = pages.UPLOAD

    async def mount(self, socket: Any, session: Any) -> None:
        del session
        constraints = UploadConstraints(max_file_size=MAX_UPLOAD_BYTES, max_files=1, accept=[])
        config = socket.allow_upload("file", constraints=constraints)
        socket.context = {"config": config, "name": "", "size": 0, "digest": ""}
        socket.live_title = "Upload"

    async def handle_event(self, event: Any, payload: Any, socket: Any) -> None:
        del payload
        if event != "save":
            return
        with socket.context["config"].consume_uploads() as uploads:
            for upload in uploads:
                content = await asyncio.to_thread(Path(upload.file.name).read_bytes)
                socket.context |= {
                    "name": upload.entry.name,
                    "size": len(content),
                    "digest": hashlib.sha256(content).hexdigest(),
                }


class SlowLive(_View):
    """An event that takes its time, and one that crashes the view."""

    page = pages.SLOW

    async def mount(self, socket: Any, session: Any) -> None:
        del session
        socket.context = {"waited": 0, "born": datetime.now(UTC).strftime("%H:%M:%S.%f")}
        socket.live_title = "Slow and crash"

    async def handle_event(self, event: Any, payload: Any, socket: Any) -> None:
        del payload
        if event == "crash":
            msg = "the crash button was pressed"
            raise RuntimeError(msg)
        await asyncio.sleep(SLOW_EVENT_S)
        socket.context["waited"] += 1


class LoginLive(_View):
    """Shows who the session cookie says you are."""

    page = pages.LOGIN

    async def mount(self, socket: Any, session: Any) -> None:
        socket.context = {"user": session.get("user", "")}
        socket.live_title = "Login"
