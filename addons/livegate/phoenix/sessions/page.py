"""The page as the browser shows it: all root views in their order, nested and sticky ones in their elements."""

import html as html_text

from msgspec import Struct

from livegate.phoenix.model import Session, View
from livegate.phoenix.rendered.elements import view_elements
from livegate.phoenix.rendered.html import MAX_HTML_CHARACTERS
from livegate.phoenix.rendered.tree import Tree, TreeError
from livegate.phoenix.topics import LIVE_TOPIC

MAX_NESTED = 20
"""So many views within each other are shown."""


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
        return "".join(map(composer.root, self.roots))


class _Composer:
    """Puts views into the elements that their parents render for them: `<div id=… data-phx-session=…></div>`."""

    def __init__(self, trees: dict[str, Tree]) -> None:
        self._trees = dict(trees)
        """Those that were not shown yet: a view stands in one place only."""
        self._size = 0

    def root(self, topic: str) -> str:
        """The HTML of a root view in an element with its id; nothing when it was shown within another one."""
        if topic not in self._trees:
            return ""
        return f'<div id="{html_text.escape(topic.removeprefix(LIVE_TOPIC))}">{self.html(topic, 0)}</div>'

    def html(self, topic: str, depth: int) -> str:
        shown = self._trees.pop(topic).html()
        self._size += len(shown)
        if self._size > MAX_HTML_CHARACTERS:
            raise TreeError(f"a page of more than {MAX_HTML_CHARACTERS} characters")
        if not self._trees or depth == MAX_NESTED:
            return shown
        parts, done = [], 0
        for id_, start in view_elements(shown):
            child = LIVE_TOPIC + id_
            if child in self._trees:
                parts += [shown[done:start], self.html(child, depth + 1)]
                done = start
        return "".join([*parts, shown[done:]])


def current_page(session: Session, before: Page | None = None) -> Page | None:
    """The page of a session as it is now, `before` itself if nothing has changed; None when no root's is known."""
    main = session.main
    if main is None or main.tree is None:
        return None
    shown = before.trees if before is not None else {}
    trees: dict[str, Tree] = {}
    roots, same = [], True
    for topic, view in session.views.items():  # each frame of the server comes by here
        tree = view.tree
        if tree is None:
            continue
        known = shown.get(topic)
        if known is None or not tree.unchanged_since(known):
            known, same = tree.snapshot(), False
        trees[topic] = known
        if view.path and view.state != "left":
            roots.append(topic)
    ordered = _in_order(session, main, roots)
    if same and before is not None and ordered == before.roots and len(trees) == len(shown):
        return before
    return Page(ordered, trees)


def _in_order(session: Session, main: View, roots: list[str]) -> tuple[str, ...]:
    """Views that say at their join which page they are of; in the order of the page where that was seen."""
    if len(roots) < 2 or main.topic not in roots:
        return (main.topic,)
    if session.page_load is not None:
        places = {topic: place for place, topic in enumerate(session.page_load.topics)}
        roots.sort(key=lambda topic: places.get(topic, len(places)))
    return tuple(roots)
