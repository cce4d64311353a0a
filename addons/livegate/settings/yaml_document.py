"""Reads a YAML text into plain values with the line of each key, and substitutes `${VARIABLE}` from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from livegate.settings.problems import Problem, quoted

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000
"""Number of values after aliases are expanded. Beyond, the document is refused: a few aliases can mean gigabytes."""

type Key = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()
_CONSTRUCTOR: Any = yaml.constructor.SafeConstructor()
_CONSTRUCT = {
    "tag:yaml.org,2002:bool": _CONSTRUCTOR.construct_yaml_bool,
    "tag:yaml.org,2002:int": _CONSTRUCTOR.construct_yaml_int,
    "tag:yaml.org,2002:null": _CONSTRUCTOR.construct_yaml_null,
}
"""Constructors by tag. Scalars of other tags, such as floats and timestamps, stay text."""


@dataclass(slots=True)
class Document:
    """Values of a YAML text (dict with text keys, list, str, bool, int, None), with the problems found so far."""

    file: str
    data: Any = None
    lines: dict[Key, int] = field(default_factory=dict)
    """Line of each key, from 1."""
    problems: list[Problem] = field(default_factory=list)
    unresolved: set[Key] = field(default_factory=set)
    """Keys that refer to an unset environment variable; validation skips them."""
    overrides: dict[str | int, str] = field(default_factory=dict)
    """Environment variables by the top-level key that they replace."""

    def problem(self, key: Key, found: str, allowed: str) -> None:
        """Add a problem at a key: with the variable that set it, or the line of the key or its nearest parent."""
        if key and key[0] in self.overrides:
            self.problems.append(Problem(self.overrides[key[0]], None, dotted(key), found, allowed))
            return
        place = key
        while place and place not in self.lines:
            place = place[:-1]
        self.problems.append(Problem(self.file, self.lines.get(place), dotted(key), found, allowed))


def dotted(key: Key) -> str:
    """Return a key's path as text, such as `timeouts.connect`."""
    return ".".join(map(str, key))


def read(text: bytes, file: str, environ: Mapping[str, str]) -> Document:
    """Parse a settings text. Never raises: mistakes are in the document's `problems`.

    Refuses duplicate keys, keys that are not text, unset variables, more than MAX_DEPTH levels, and texts whose aliases
    expand to more than MAX_NODES values.
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
        document.problem((), "too many levels", f"at most {MAX_DEPTH} levels")
    except yaml.YAMLError as error:
        _add_syntax_error(document, error)
    else:
        if node is not None:
            document.data = _Reader(document, environ).value(node, ())
    return document


def _add_syntax_error(document: Document, error: yaml.YAMLError) -> None:
    mark = getattr(error, "problem_mark", None)
    cause = getattr(error, "problem", None) or "unknown"
    found, allowed = f"a syntax error ({cause})", "valid YAML"
    if "nesting depth" in cause:  # libyaml 0.2.6 and later have a limit of their own
        found, allowed = "too many levels", f"at most {MAX_DEPTH} levels"
    document.problems.append(Problem(document.file, mark.line + 1 if mark else None, "", found, allowed))


class _Reader:
    """Converter of composed YAML nodes to plain values."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._nodes = 0

    def value(self, node: yaml.Node, key: Key) -> Any:
        """Return the value of a node. Beyond MAX_NODES or MAX_DEPTH it is None, and the first time a problem."""
        self._nodes += 1
        if self._nodes > MAX_NODES or len(key) > MAX_DEPTH:
            if self._nodes <= MAX_NODES + 1:
                allowed = f"at most {MAX_DEPTH} levels and {MAX_NODES} values"
                self._document.problem(key, "too many levels or values", allowed)
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
            line = key_node.start_mark.line + 1
            if name in result:
                allowed = f"each key once (first on line {self._document.lines[place]})"
                self._document.problems.append(
                    Problem(self._document.file, line, dotted(place), "a duplicate key", allowed)
                )
                continue
            self._document.lines[place] = line
            result[name] = self.value(value_node, place)
        return result

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        text = self._with_variables(str(node.value), key)
        tag = node.tag
        if text != node.value:  # "${COUNT}" may stand for a number, so quotes do not make it text
            tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
        construct = _CONSTRUCT.get(tag)
        if construct is None:
            return text
        try:
            return construct(yaml.ScalarNode(tag, text))
        except (ValueError, KeyError):
            return text

    def _with_variables(self, text: str, key: Key) -> str:
        def substitute(found: re.Match[str]) -> str:
            if found[1]:
                return "$"
            value = self._environ.get(found[2])
            if value is None:
                allowed = f"an environment variable that is set; {found[2]} is not set"
                self._document.problem(key, quoted(found[0]), allowed)
                self._document.unresolved.add(key)
                return ""
            return value

        return _VARIABLE.sub(substitute, text)
