"""Reads recordings of genuine Phoenix sessions, in an order in which a client and a server can play them again.

A recording has a line for everything that the browser's developer tools saw, in the order in which they told of it. They tell of
a document when its body has been read, of a poll's answer likewise, and not at all of sockets that end because the tab goes to
another page. `scene` puts right what that changes; everything else stays where it was.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "traces" / "lv-1.2.10-scenes"
NAMES = (
    "nested",
    "sticky-two-users",
    "two-roots",
    "hook-async-portal",
    "upload",
    "channels-and-presence",
    "longpoll",
)
GOING_AWAY = 1001
NORMAL = 1000
LIVE_RELOAD_FRAME = "/phoenix/live_reload/frame"
SESSION_COOKIE = "_demo_key"
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
_CSRF = re.compile(r'<meta name="csrf-token" content="([^"]+)"')

type Kind = Literal["page", "open", "frame", "close", "ask", "answer", "dom"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `number` is the line of the recording, counted from 0."""

    number: int
    at: float
    """Seconds since the scene began, never less than that of the step before."""
    tab: str
    kind: Kind
    url: str = ""
    conn: int = 0
    """Of the WebSocket; two of one recording never share it."""
    up: bool = False
    """Whether a frame is the client's."""
    text: bool = True
    data: bytes = b""
    """Of a frame, of a request's body, or of an answer's."""
    status: int = 0
    method: str = "GET"
    content_type: str = ""
    code: int = 0
    """With which the client closes a socket."""
    asked: int = -1
    """Of an answer: the number of the step that asked."""
    referer: str = ""
    """Of a request: the page that it came from; empty for one that was typed in."""
    dom: tuple[tuple[str, str], ...] = ()
    """Outermost LiveViews by id, and the HTML inside of each, as the browser had it."""
    title: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        """With the query."""
        parts = urlsplit(self.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def scene(name: str) -> list[Step]:
    """The steps of a recording; skips the test, and says so, where the recordings are not."""
    file = FOLDER / f"{name}.jsonl"
    if not file.exists():
        pytest.skip(f"no recording at {file}: recordings of genuine Phoenix sessions are not part of the repository")
    with file.open(encoding="utf-8") as lines:
        return list(_in_order([json.loads(line) for line in lines]))


def _in_order(lines: list[dict[str, Any]]) -> Iterator[Step]:
    maker = _Maker()
    for number, asked in _order(lines):
        yield from maker.steps(number, asked, lines[number])


def _order(lines: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """The numbers of the lines as they are played; with an answer to a poll that of its request, else -1."""
    answers = _answers(lines)
    early, done = _pages_asked_early(lines), set[int]()
    under_way: dict[tuple[str, str, str], int] = {}
    for number, line in enumerate(lines):
        if number in early:
            done.add(early[number])
            yield early[number], -1
        if number in done:
            continue
        if line["ev"] == "poll" and line["dir"] == "c2s":
            before = under_way.get(_endpoint(line))
            if before is not None and answers[before] not in done:  # phoenix.js asks one after the other
                done.add(answers[before])
                yield answers[before], before
            under_way[_endpoint(line)] = number
        done.add(number)
        yield number, next((ask for ask, answer in answers.items() if answer == number), -1)


def _endpoint(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["tab"], line["method"], urlsplit(line["url"]).path


def _answers(lines: list[dict[str, Any]]) -> dict[int, int]:
    """The line of a poll's answer, by that of its request: those of one endpoint come in the order of the requests."""
    waiting: dict[tuple[str, str, str], list[int]] = {}
    found = {}
    for number, line in enumerate(lines):
        if line["ev"] == "poll" and line["dir"] == "c2s":
            waiting.setdefault(_endpoint(line), []).append(number)
        elif line["ev"] == "poll":
            found[waiting[_endpoint(line)].pop(0)] = number
    return found


def _pages_asked_early(lines: list[dict[str, Any]]) -> dict[int, int]:
    """Pages that had been loaded before something that comes earlier in the recording: by its line, theirs."""
    found = {}
    for number, line in enumerate(lines):
        token = _CSRF.search(line["data"]) if line["ev"] == "page" else None
        if token is None:
            continue
        first = all(each["ev"] != "page" for each in lines[:number] if each["tab"] == line["tab"])
        for earlier in range(number):
            is_its = lines[earlier]["tab"] == line["tab"]
            if is_its and (first or token[1] in lines[earlier].get("url", "")):
                found[earlier] = number
                break
    return found


class _Maker:
    """Makes steps of lines, and knows which page a tab shows and which sockets are open."""

    def __init__(self) -> None:
        self._at = 0.0
        self._here: dict[str, str] = {}
        """The page that a tab shows."""
        self._open: dict[int, str] = {}
        """The tab of each open socket."""

    def steps(self, number: int, asked: int, line: dict[str, Any]) -> Iterator[Step]:
        self._at = max(self._at, line["t"])
        step = partial(Step, number=number, at=self._at, tab=line["tab"], url=line.get("url", ""))
        match line["ev"]:
            case "page":
                yield from self._page(step, line)
            case "open":
                self._open[line["conn"]] = line["tab"]
                yield step(kind="open", conn=line["conn"])
            case "close" if self._open.pop(line["conn"], None):
                yield step(kind="close", conn=line["conn"], code=NORMAL)
            case "msg":
                text = line["op"] == 1
                data = line["data"].encode() if text else base64.b64decode(line["data"])
                yield step(kind="frame", conn=line["conn"], up=line["dir"] == "c2s", text=text, data=data)
            case "poll":
                yield self._poll(step, asked, line)
            case "dom":
                self._here[line["tab"]] = line["url"]
                roots = tuple((root["id"], root["html"]) for root in line["roots"])
                yield step(kind="dom", dom=roots, title=line["title"])

    def _page(self, step: Callable[..., Step], line: dict[str, Any]) -> Iterator[Step]:
        tab, inner = line["tab"], line["url"].endswith(LIVE_RELOAD_FRAME)
        if not inner:
            for conn in [conn for conn, owner in self._open.items() if owner == tab]:
                del self._open[conn]
                yield step(kind="close", conn=conn, code=GOING_AWAY, url="")
        html = line["data"].lstrip().startswith("<")
        content_type = "text/html; charset=utf-8" if html else "text/plain; charset=utf-8"
        yield step(
            kind="page",
            status=line["status"],
            data=line["data"].encode(),
            content_type=content_type,
            referer=self._here.get(tab, ""),
        )
        if not inner:
            self._here[tab] = line["url"]

    def _poll(self, step: Callable[..., Step], asked: int, line: dict[str, Any]) -> Step:
        step = partial(step, method=line["method"], data=(line["data"] or "").encode())
        if line["dir"] == "s2c":
            kind = "application/json; charset=utf-8" if line["status"] == 200 else "text/plain; charset=utf-8"
            return step(kind="answer", status=line["status"], content_type=kind, asked=asked)
        parts = urlsplit(line["url"])
        of_live_reload = parts.path.startswith("/phoenix/live_reload/")
        inner = f"{parts.scheme}://{parts.netloc}{LIVE_RELOAD_FRAME}"
        referer = inner if of_live_reload else self._here.get(line["tab"], "")
        return step(kind="ask", content_type=(line["headers"] or {}).get("content-type", ""), referer=referer)
