"""Index of LiveView modules by route and by the statics of their pages, filled from signed session tokens.

A join after live navigation carries the token of the page that was loaded first, so that its own module is not sent.
"""

import hashlib
import re
from collections import OrderedDict
from typing import Any

from livegate.phoenix.rendered.nodes import COMPONENTS, STATICS, Node, is_comprehension

MAX_REMEMBERED = 2000
"""Entries per table; the oldest are dropped."""
MAX_NODES = 2000
"""Nodes read for the hash of a page's statics; larger pages have none."""
MIN_STATIC_CHARACTERS = 32
"""Statics with fewer characters have no hash, because several views may have them."""
_VARIABLE = re.compile(r"\d+|[0-9a-fA-F-]{16,}|(?=[^/]*\d)[A-Za-z0-9_-]{20,}")
"""Path segment that is an id: a number, a UUID or another long random text."""
_AMBIGUOUS = ""
"""Instead of a module: two modules have this route or these statics."""

type Route = tuple[str, str]


class ModuleIndex:
    """Index from host and path, host and route, and statics to the module of a LiveView."""

    def __init__(self) -> None:
        self._paths: OrderedDict[Route, str] = OrderedDict()
        self._routes: OrderedDict[Route, str] = OrderedDict()
        self._statics: OrderedDict[bytes, str] = OrderedDict()

    def remember_module(self, host: str, path: str | None, module: str) -> None:
        """Add the module of the page at a path. The latest wins, because a new deployment may change it."""
        if path is None:
            return
        _put(self._paths, (host, path), module)
        route = (host, route_of(path))
        known = self._routes.get(route, module)
        _put(self._routes, route, module if known == module else _AMBIGUOUS)

    def remember_statics(self, root: Node, module: str) -> None:
        """Add the statics of a module's page."""
        key = statics_key(root)
        if key is not None:
            known = self._statics.get(key, module)
            _put(self._statics, key, module if known == module else _AMBIGUOUS)

    def module_for_path(self, host: str, path: str | None) -> str | None:
        """Return the module at a path of this host, or at another path of the same route; None if unknown."""
        if path is None:
            return None
        return self._paths.get((host, path)) or self._routes.get((host, route_of(path))) or None

    def module_for_statics(self, root: Node) -> str | None:
        """Return the only module with exactly these statics; None if there is none, or more than one."""
        key = statics_key(root)
        return (self._statics.get(key) or None) if key is not None else None


def route_of(path: str) -> str:
    """Return a path with `:id` in place of segments that are ids."""
    return "/".join(":id" if _VARIABLE.fullmatch(segment) else segment for segment in path.split("/"))


def statics_key(root: Node) -> bytes | None:
    """Return a hash of a page's statics, entries of comprehensions left out; None beyond the bounds above."""
    digest, characters, nodes = hashlib.blake2b(digest_size=16), 0, [root]
    for _ in range(MAX_NODES):
        if not nodes:
            return digest.digest() if characters >= MIN_STATIC_CHARACTERS else None
        node = nodes.pop()
        statics: Any = node.get(STATICS)
        for text in statics if isinstance(statics, list) else ():
            characters += len(text)
            digest.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))
        digest.update(b"|")
        if not is_comprehension(node):
            nodes += [node[key] for key in sorted(node) if key != COMPONENTS and isinstance(node[key], dict)]
    return None


def _put[K](table: OrderedDict[K, str], key: K, module: str) -> None:
    table[key] = module
    table.move_to_end(key)
    if len(table) > MAX_REMEMBERED:
        table.popitem(last=False)
