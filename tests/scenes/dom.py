"""Compares HTML as a browser holds it with HTML as a view renders it: what phoenix.js and LiveView add for themselves does not count."""

from html.parser import HTMLParser

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
MARKS = frozenset(
    {
        "data-phx-id",
        "data-phx-magic-id",
        "data-phx-component",
        "data-phx-view",
        "data-phx-session",
        "data-phx-static",
        "data-phx-root-id",
        "data-phx-parent-id",
        "data-phx-main",
        "data-phx-sticky",
        "data-phx-stream",
        "data-phx-skip",
        "data-phx-ref-src",
        "data-phx-ref-lock",
        "data-phx-ref-loading",
        "data-phx-child",
    }
)
"""Attributes with which the client or the server keeps its books."""
STATES = frozenset(
    {"phx-connected", "phx-loading", "phx-error", "phx-client-error", "phx-server-error"}
    | {"phx-click-loading", "phx-change-loading", "phx-submit-loading"}
)
"""Classes that the client puts on a view's element, and on one whose event is under way."""

type Node = str | tuple[str, tuple[tuple[str, str], ...], tuple["Node", ...]]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.top: list[Node] = []
        self._open: list[tuple[str, tuple[tuple[str, str], ...], list[Node]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = tuple(sorted((name, value or "") for name, value in attrs if name not in MARKS and name != "class"))
        classes = next((value or "" for name, value in attrs if name == "class"), "")
        shown = " ".join(word for word in classes.split() if word not in STATES)
        if shown:
            kept += (("class", shown),)
        if tag in VOID:
            self._add((tag, kept, ()))
        else:
            self._open.append((tag, kept, []))

    def handle_endtag(self, tag: str) -> None:
        if any(each[0] == tag for each in self._open):
            while self._close() != tag:
                pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1][2] if self._open else self.top
        if inside and isinstance(inside[-1], str):
            inside[-1] += data
        else:
            inside.append(data)

    def _close(self) -> str:
        tag, attributes, inside = self._open.pop()
        self._add((tag, attributes, tuple(inside)))
        return tag

    def _add(self, node: Node) -> None:
        (self._open[-1][2] if self._open else self.top).append(node)

    def close(self) -> None:
        super().close()
        while self._open:
            self._close()


def nodes(html: str) -> tuple[Node, ...]:
    """HTML as values that can be compared."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return tuple(parser.top)


def element(found: tuple[Node, ...], id_: str) -> tuple[Node, ...] | None:
    """What is inside of the element with an id; None when there is no such element."""
    for node in found:
        if isinstance(node, str):
            continue
        if ("id", id_) in node[1]:
            return node[2]
        inner = element(node[2], id_)
        if inner is not None:
            return inner
    return None


def differences(page: str, roots: tuple[tuple[str, str], ...]) -> list[str]:
    """What of a page differs from the outermost views of a browser's; empty when nothing does.

    A page with one view may be that view's inside alone; of several each has to stand in an element with its id.
    """
    shown = nodes(page)
    views = [(id_, html) for id_, html in roots if id_ != "portal-target"]
    wrong = []
    for id_, html in views:
        inside = element(shown, id_)
        if inside is None and len(views) == 1:
            inside = shown
        if inside != nodes(html):
            wrong.append(f"{id_}\n  browser: {nodes(html)}\n  shown:   {inside}")
    return wrong
