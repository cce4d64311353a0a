"""Names LiveView modules: learnt from the signed token of a page load, found again by route or by the view's statics.

A join after live navigation carries the token of the page that was loaded first, so its module is not on the wire.
"""

import hashlib
import re
from collections import OrderedDict
from typing import Any

from livegate.phoenix.rendered.nodes import COMPONENTS, STATICS, Node, is_comprehension

MAX_REMEMBERED = 2000
"""Of routes, and of statics."""
MAX_NODES = 2000
MIN_STATIC_CHARACTERS = 32
"""Statics of less text could be anybody's."""
_VARIABLE = re.compile(r"\d+|[0-9a-fA-F-]{16,}|(?=[^/]*\d)[A-Za-z0-9_-]{20,}")
"""A segment of a path that is an id: a number, a UUID or another long random text."""
_SEVERAL = ""
"""In place of a module: two modules have shown the same, so it names neither."""

type Route = tuple[str, str]


class ModuleIndex:
    """Knows which module makes the page at a host and route, and which statics are whose."""

    def __init__(self) -> None:
        self._paths: OrderedDict[Route, str] = OrderedDict()
        self._routes: OrderedDict[Route, str] = OrderedDict()
        self._statics: OrderedDict[bytes, str] = OrderedDict()

    def remember_module(self, host: str, path: str | None, module: str) -> None:
        """Remember the module of the page at a path; an app that is deployed anew may change it."""
        if path is None:
            return
        _put(self._paths, (host, path), module)
        route = (host, route_of(path))
        known = self._routes.get(route, module)
        _put(self._routes, route, module if known == module else _SEVERAL)

    def remember_statics(self, root: Node, module: str) -> None:
        """Remember whose statics these are."""
        key = statics_key(root)
        if key is not None:
            known = self._statics.get(key, module)
            _put(self._statics, key, module if known == module else _SEVERAL)

    def module_for_path(self, host: str, path: str | None) -> str | None:
        """The module at a path of this host, or at another path of the same route; None when no page load told."""
        if path is None:
            return None
        return self._paths.get((host, path)) or self._routes.get((host, route_of(path))) or None

    def module_for_statics(self, root: Node) -> str | None:
        """The module whose view was seen with exactly these statics; None when none was, or more than one."""
        key = statics_key(root)
        return (self._statics.get(key) or None) if key is not None else None


def route_of(path: str) -> str:
    """A path with `:id` in place of what is different at each page of a route."""
    return "/".join(":id" if _VARIABLE.fullmatch(segment) else segment for segment in path.split("/"))


def statics_key(root: Node) -> bytes | None:
    """A hash of a view's statics, entries of lists left out; None for too little text, or too many nodes to look at."""
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
