"""The page as the browser shows it: all root views in their order, nested and sticky ones in their elements."""

import html as html_text
import re
from typing import Any

from msgspec import Struct

from livegate.phoenix.model import Session, View
from livegate.phoenix.render import MAX_HTML_CHARACTERS
from livegate.phoenix.tree import Tree, TreeError

MAX_NESTED = 20
"""So many views within each other are shown."""
MAX_TAG_CHARACTERS = 65_536
_MARK = re.compile(r"\bdata-phx-session=")
_ID = re.compile(r"""\sid=(?:"([^"]*)"|'([^']*)'|([^"'\s>]+))""")


class Page(Struct, frozen=True, gc=False):
    """Trees are never changed, so that the pages of two moments share all but what came in between."""

    roots: tuple[str, ...]
    """Topics of the views that stand in no other view's element, in the order of the page."""
    trees: dict[str, Tree]
    """The page of each view, by its topic."""

    @property
    def title(self) -> str | None:
        """The title that the first root view has set."""
        return self.trees[self.roots[0]].title

    def html(self) -> str:
        """The HTML within the root view's element; with several roots, each with an element of its id.

        O(what is shown): a view stands in one place only. Raises TreeError for what cannot be shown.
        """
        composer = _Composer(self.trees)
        if len(self.roots) == 1:
            return composer.html(self.roots[0], 0)
        parts = []
        for topic in self.roots:
            id_ = html_text.escape(topic.removeprefix("lv:"))
            parts.append(f'<div id="{id_}">{composer.html(topic, 0)}</div>')
        return "".join(parts)


class _Composer:
    """Puts views into the elements that their parents render for them: `<div id=… data-phx-session=…></div>`."""

    def __init__(self, trees: dict[str, Tree]) -> None:
        self._trees = dict(trees)
        self._size = 0

    def html(self, topic: str, depth: int) -> str:
        shown = self._trees.pop(topic).html()
        self._size += len(shown)
        if self._size > MAX_HTML_CHARACTERS:
            raise TreeError(f"a page of more than {MAX_HTML_CHARACTERS} characters")
        if not self._trees or depth == MAX_NESTED:
            return shown
        parts, done = [], 0
        for mark in _MARK.finditer(shown):
            end = shown.find(">", mark.end()) + 1
            child = self._child(shown, mark.start(), end) if end > done else None
            if child is not None:
                parts += [shown[done:end], self.html(child, depth + 1)]
                done = end
        return "".join([*parts, shown[done:]])

    def _child(self, shown: str, at: int, end: int) -> str | None:
        """The topic of the view whose tag this is, when its page is known and was not shown yet."""
        start = shown.rfind("<", max(0, at - MAX_TAG_CHARACTERS), at)
        is_tag = start >= 0 and end > at and shown.find(">", start, at) < 0
        found = _ID.search(shown, start, end) if is_tag else None
        if found is None:
            return None
        topic = f"lv:{html_text.unescape(next(group for group in found.groups() if group is not None))}"
        return topic if topic in self._trees else None


def page_of(session: Session, before: Page | None = None) -> Page | None:
    """The page of a session as it is now, `before` itself if nothing has changed; None when no root's is known."""
    main = session.main
    if main is None or main.tree is None:
        return None
    trees: dict[str, Tree] = {}
    same = before is not None
    for topic, view in session.views.items():
        if view.tree is None:
            continue
        known = before.trees.get(topic) if before is not None else None
        if known is None or not view.tree.is_at(known):
            known, same = view.tree.copy(), False
        trees[topic] = known
    roots = _roots(session, main, trees)
    if same and before is not None and roots == before.roots and len(trees) == len(before.trees):
        return before
    return Page(roots, trees)


def _roots(session: Session, main: View, trees: dict[str, Any]) -> tuple[str, ...]:
    """Views that say at their join which page they are of; in the order of the page where that was seen."""
    found = [topic for topic in trees if session.views[topic].path and session.views[topic].state != "left"]
    if len(found) < 2 or main.topic not in found:
        return (main.topic,)
    if session.page is not None:
        places = {topic: place for place, topic in enumerate(session.page.topics)}
        found.sort(key=lambda topic: places.get(topic, len(places)))
    return tuple(found)
