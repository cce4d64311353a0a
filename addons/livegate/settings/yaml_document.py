"""Reads YAML into plain values and remembers where each one stands; environment variables are put in on the way."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from livegate.settings.problems import Problem, shown

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000

type Key = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_RESOLVED_TAGS = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:int"}
_RESOLVER: Any = yaml.resolver.Resolver()
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Document:
    """Plain values of a YAML text: dict (string keys), list, str, bool, int, None."""

    file: str
    data: Any = None
    lines: dict[Key, int] = field(default_factory=dict)
    """Line of each key, from 1."""
    problems: list[Problem] = field(default_factory=list)
    spoiled: set[Key] = field(default_factory=set)
    """Keys whose value could not be made, since a variable is not set."""

    def problem(self, key: Key, found: str, allowed: str) -> None:
        """Note a problem at a key; the line is that of the nearest key above it that has one."""
        place = key
        while place and place not in self.lines:
            place = place[:-1]
        self.problems.append(Problem(self.file, self.lines.get(place), dotted(key), found, allowed))


def dotted(key: Key) -> str:
    """A key path as a person writes it."""
    return ".".join(map(str, key))


def read(text: bytes, file: str, environ: Mapping[str, str]) -> Document:
    """Parse a settings text. Never raises: what is wrong is in the document's `problems`.

    Refused are duplicate keys, keys that are not text, unset variables, nesting past MAX_DEPTH, and texts that unfold
    (by aliases) to more than MAX_NODES values.
    """
    document = Document(file)
    if len(text) > MAX_FILE_BYTES:
        document.problem((), f"{len(text)} bytes", f"at most {MAX_FILE_BYTES} bytes")
        return document
    try:
        node = yaml.compose(text.decode("utf-8"), Loader=_LOADER)
    except UnicodeDecodeError:
        document.problem((), "text that is not UTF-8", "UTF-8")
    except RecursionError:
        document.problem((), "very deep nesting", f"at most {MAX_DEPTH} levels")
    except yaml.YAMLError as error:
        _note_syntax_error(document, error)
    else:
        if node is not None:
            document.data = _Reader(document, environ).value(node, ())
    return document


def _note_syntax_error(document: Document, error: yaml.YAMLError) -> None:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "text that is not YAML"
    line = mark.line + 1 if mark else None
    if "nesting depth" in what:  # newer versions of libyaml have a limit of their own
        document.problems.append(Problem(document.file, line, "", "very deep nesting", f"at most {MAX_DEPTH} levels"))
        return
    document.problems.append(Problem(document.file, line, "", what, "valid YAML"))


class _Reader:
    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._nodes = 0

    def value(self, node: yaml.Node, key: Key) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(key) > MAX_DEPTH:
            if self._nodes <= MAX_NODES or self._nodes == MAX_NODES + 1:
                self._document.problem(key, "too much", f"at most {MAX_DEPTH} levels and {MAX_NODES} values")
            return None
        self._document.lines.setdefault(key, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*key, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.problem(key, "a key that is a list or a mapping", "keys that are text")
                continue
            name = str(key_node.value)
            place = (*key, name)
            if name in result:
                line = key_node.start_mark.line + 1
                first = self._document.lines[place]
                self._document.problems.append(
                    Problem(self._document.file, line, dotted(place), "the key again", f"each key once (line {first})")
                )
                continue
            self._document.lines[place] = key_node.start_mark.line + 1
            result[name] = self.value(value_node, place)
        return result

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        text = self._with_variables(str(node.value), key)
        # A variable's value is read as if it stood there, in quotes or not: "${COUNT}" may be wanted as a number.
        plain = not getattr(node, "style", None) or text != node.value
        tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) if plain else ""
        if tag not in _RESOLVED_TAGS:
            return text
        try:
            return yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):
            return text

    def _with_variables(self, text: str, key: Key) -> str:
        def put_in(found: re.Match[str]) -> str:
            if found[1]:
                return "$"
            value = self._environ.get(found[2])
            if value is None:
                self._document.problem(key, shown(found[0]), f"a variable that is set; {found[2]} is not")
                self._document.spoiled.add(key)
                return ""
            return value

        return _VARIABLE.sub(put_in, text)
