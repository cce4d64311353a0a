"""The page as the browser shows it: all root views in order, with nested and sticky views in their elements."""

import html as html_text

from msgspec import Struct

from livegate.phoenix.model import Session, View
from livegate.phoenix.rendered.elements import view_elements
from livegate.phoenix.rendered.html import MAX_HTML_CHARACTERS
from livegate.phoenix.rendered.tree import Tree, TreeError
from livegate.phoenix.topics import LIVE_TOPIC

MAX_NESTED = 20
"""Levels of nested views in the HTML; deeper views are left out."""


class Page(Struct, frozen=True, gc=False):
    """Snapshot of all views of a session. Two snapshots share all parts of their trees that did not change."""

    roots: tuple[str, ...]
    """Topics of the views that are not nested in another one, in the order of the page."""
    trees: dict[str, Tree]
    """Tree of each view by topic."""

    @property
    def title(self) -> str | None:
        """Title that the first root view has set."""
        return self.trees[self.roots[0]].title

    def html(self) -> str:
        """Return the content of the root view's element; of several root views, each in an element with its id.

        O(HTML), because each view is written once. Raises TreeError if the page cannot be rendered.
        """
        composer = _Composer(self.trees)
        if len(self.roots) == 1:
            return composer.html(self.roots[0], 0)
        return "".join(map(composer.root, self.roots))


class _Composer:
    """Writer that puts views into the elements that their parents render: `<div id=… data-phx-session=…></div>`."""

    def __init__(self, trees: dict[str, Tree]) -> None:
        self._trees = dict(trees)
        """Trees that are not written yet."""
        self._size = 0

    def root(self, topic: str) -> str:
        """Return a root view in an element with its id; empty if it was written inside another view."""
        if topic not in self._trees:
            return ""
        return f'<div id="{html_text.escape(topic.removeprefix(LIVE_TOPIC))}">{self.html(topic, 0)}</div>'

    def html(self, topic: str, depth: int) -> str:
        html = self._trees.pop(topic).html()
        self._size += len(html)
        if self._size > MAX_HTML_CHARACTERS:
            raise TreeError(f"a page of more than {MAX_HTML_CHARACTERS} characters")
        if not self._trees or depth == MAX_NESTED:
            return html
        parts, written = [], 0
        for id_, start in view_elements(html):
            child = LIVE_TOPIC + id_
            if child in self._trees:
                parts += [html[written:start], self.html(child, depth + 1)]
                written = start
        return "".join([*parts, html[written:]])


def current_page(session: Session, before: Page | None = None) -> Page | None:
    """Return the page of a session; `before` itself if nothing changed since, None if the main view has no tree."""
    main = session.main
    if main is None or main.tree is None:
        return None
    earlier = before.trees if before is not None else {}
    trees: dict[str, Tree] = {}
    roots, same = [], True
    for topic, view in session.views.items():  # runs for each frame of the server
        tree = view.tree
        if tree is None:
            continue
        snapshot = earlier.get(topic)
        if snapshot is None or not tree.unchanged_since(snapshot):
            snapshot, same = tree.snapshot(), False
        trees[topic] = snapshot
        if view.path and view.state != "left":
            roots.append(topic)
    ordered = _in_order(session, main, roots)
    if same and before is not None and ordered == before.roots and len(trees) == len(earlier):
        return before
    return Page(ordered, trees)


def _in_order(session: Session, main: View, roots: list[str]) -> tuple[str, ...]:
    """Return the topics of the root views, in the order of the page load if that is known."""
    if len(roots) < 2 or main.topic not in roots:
        return (main.topic,)
    if session.page_load is not None:
        places = {topic: place for place, topic in enumerate(session.page_load.topics)}
        roots.sort(key=lambda topic: places.get(topic, len(places)))
    return tuple(roots)
