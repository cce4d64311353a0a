"""Every library that livegate imports is a declared dependency: of its own, or of the extra that needs it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGE = CHECKOUT / "addons" / "livegate"
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
EXTRAS = {"demo/": "demo", "observe/tracing/otlp.py": "otel", "cli/run.py": "fast"}
"""What may import the libraries of an extra, by the start of its path."""


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[]", requirement)[0]).lower()


BASE = frozenset(map(_name, PROJECT["dependencies"]))
BY_EXTRA = {extra: frozenset(map(_name, given)) for extra, given in PROJECT["optional-dependencies"].items()}


def _imports(path: Path) -> Iterator[str]:
    """Return full names of what a file imports anywhere, without the standard library and our own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names | {"livegate"}:
                yield name


def _owners() -> dict[str, set[str]]:
    """What is declared, by the modules that it installs; a namespace such as `opentelemetry` is looked at in full."""
    owners: dict[str, set[str]] = {}
    for name in BASE.union(*(BY_EXTRA[extra] for extra in EXTRAS.values())):
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            if file.suffix in (".py", ".so", ".pyd"):
                parts = [*file.parent.parts, *([] if file.stem == "__init__" else [file.name.partition(".")[0]])]
                owners.setdefault(".".join(parts), set()).add(name)
    return owners


FOUND = sorted(
    {(path.relative_to(PACKAGE).as_posix(), name) for path in PACKAGE.rglob("*.py") for name in _imports(path)}
)


def test_imports_are_found() -> None:
    assert {"mitmproxy", "brotli", "h11"} <= {name.partition(".")[0] for _, name in FOUND}


def test_every_import_is_declared() -> None:
    owners = _owners()
    for path, name in FOUND:
        allowed = BASE.union(*(BY_EXTRA[extra] for place, extra in EXTRAS.items() if path.startswith(place)))
        parts = name.split(".")
        by = next((found for end in range(len(parts), 0, -1) if (found := owners.get(".".join(parts[:end])))), None)
        assert by, f"{path} imports {name}, which no dependency in pyproject.toml installs"
        assert by & allowed, f"{path} imports {name}, of {', '.join(by)}, which is not declared for it"


@pytest.mark.parametrize("requirement", [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())])
def test_every_dependency_says_from_which_version_on(requirement: str) -> None:
    assert ">=" in requirement


def test_what_is_locked_is_what_is_declared() -> None:
    lock = (CHECKOUT / "requirements.lock").read_text()
    locked = {_name(line) for line in lock.splitlines() if re.match(r"[a-z0-9]", line)}
    wanted = BASE.union(*BY_EXTRA.values())
    assert wanted <= locked, f"make lock: {sorted(wanted - locked)} missing"
    assert not re.search(r"https?://|--(?:extra-)?index-url", lock), "it names no host"
