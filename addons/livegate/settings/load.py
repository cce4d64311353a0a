"""Loads the settings from file, environment and defaults, and reports every problem at once."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from livegate.settings import addresses, units
from livegate.settings.build import build
from livegate.settings.model import Settings
from livegate.settings.problems import Problem, SettingsError, quoted
from livegate.settings.schema import ServiceEntry, SettingsFile
from livegate.settings.yaml_document import Document, Key, read

SERVICES_VARIABLE = "GATEWAY_SERVICES"
RATE_VARIABLES = {"RATE_LIMIT_USER": "user", "RATE_LIMIT_IP": "ip"}
FILE_VARIABLE = "GATEWAY_CONFIG_FILE"
MITMWEB = ("127.0.0.1", 8081)
SERVICES_ALLOWED = 'services such as GATEWAY_SERVICES="app.example.com=>http://127.0.0.1:4000;default=>http://…"'

SECRETS = frozenset({("admin", "token"), ("tracing", "headers")})
"""Keys whose values no problem quotes."""
MAX_ROUNDS = 20
"""Number of validations, each without the keys that failed before. One level of nesting may need one."""
SERVICE_DEPTH = 2

_ALLOWED = {
    "livegate": "{allowed}",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "greater_than_equal": "a whole number of at least {ge}",
    "int_type": "a whole number",
    "less_than_equal": "a whole number up to {le}",
    "literal_error": "{expected}",
    "missing": "a value; this key is required",
    "model_type": "a mapping of keys to values",
    "tuple_type": "a list",
}
"""Allowed values by pydantic's type of error, to be formatted with its context."""


def find_settings_file(option: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the path of the settings: the option, GATEWAY_CONFIG_FILE, or configs/gateway.yaml (checkout, then here).

    Return None if none of these exists. A path that was given is returned even if no file exists there, because that is
    an error to report.
    """
    named = option or environ.get(FILE_VARIABLE)
    if named:
        return Path(named).expanduser()
    checkout = Path(__file__).resolve().parents[3] / "configs" / "gateway.yaml"
    local = Path("configs") / "gateway.yaml"
    return next((path for path in (checkout, local) if path.is_file()), None)


def load_settings(
    path: Path | None, environ: Mapping[str, str], *, own_listeners: Sequence[tuple[str, int]] = (MITMWEB,)
) -> Settings:
    """Load and check settings.

    `own_listeners` are further listeners of this process, as host and port; no backend may be one of them. Raises
    SettingsError with every problem of the file, the environment and the files that they name.
    """
    document = _document(path, environ)
    _override(document, environ)
    file = _validated(document)
    _check_hosts(document)
    settings = build(file, document, path, own_listeners)
    if document.problems or settings is None:
        raise SettingsError(document.problems)
    return settings


def _document(path: Path | None, environ: Mapping[str, str]) -> Document:
    if path is None:
        document = Document("settings", data={})
        if SERVICES_VARIABLE not in environ:
            allowed = f"configs/gateway.yaml, or a file named by {FILE_VARIABLE} or --config"
            document.problem((), "no settings file", allowed)
        return document
    file = _displayed(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        document = Document(file, data={})
        document.problem((), (error.strerror or "an error").lower(), "a settings file that can be read")
        return document
    document = read(text, file, environ)
    if document.data is None:
        document.data = {}
    return document


def _displayed(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _override(document: Document, environ: Mapping[str, str]) -> None:
    """Replace values of the file by those of environment variables. Their problems name the variable."""
    if not isinstance(document.data, dict):
        return
    if SERVICES_VARIABLE in environ:
        document.data["services"] = _services_from(environ[SERVICES_VARIABLE], document)
        document.overrides["services"] = SERVICES_VARIABLE
    for variable, key in RATE_VARIABLES.items():
        if variable in environ:
            _override_rate(document, variable, key, environ[variable].strip())


def _services_from(text: str, document: Document) -> dict[str, str]:
    services: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, arrow, url = (item.strip() for item in part.partition("=>"))
        if not arrow or not name or not url:
            document.problems.append(Problem(SERVICES_VARIABLE, None, "", quoted(part.strip()), SERVICES_ALLOWED))
        elif name in services:
            document.problems.append(Problem(SERVICES_VARIABLE, None, name, "a duplicate host", "each host once"))
        else:
            services[name] = url
    return services


def _override_rate(document: Document, variable: str, key: str, text: str) -> None:
    rate = f"{text}/minute" if text.isascii() and text.isdigit() else text
    try:
        units.rate(rate)
    except ValueError:
        allowed = "a number of requests per minute such as 100, or a rate such as 300/minute"
        document.problems.append(Problem(variable, None, "", quoted(text), allowed))
        return
    section = document.data.setdefault("rate_limit", {})
    if isinstance(section, dict):
        section[key] = rate


def _validated(document: Document) -> SettingsFile:
    """Return the file as its schema's model. Invalid keys become problems and are left out, so that all are found."""
    data = document.data
    if not isinstance(data, dict):
        document.problem((), quoted(data), "a mapping of keys to values")
        data = {}
    data = copy.deepcopy({key: value for key, value in data.items() if value is not None})
    for key in document.unresolved:
        _remove(data, key)
    for _ in range(MAX_ROUNDS):
        try:
            return SettingsFile.model_validate(data)
        except ValidationError as error:
            invalid = [_add_problem(document, detail) for detail in error.errors()]
            for key in sorted(invalid, key=len):
                _remove(data, key)
    return SettingsFile()


def _add_problem(document: Document, detail: ErrorDetails) -> Key:
    """Add one of pydantic's errors to the problems. Return the key to remove before the next validation."""
    kind, value = detail["type"], detail["input"]
    key = tuple(part for part in detail["loc"] if part != "[key]")  # pydantic's mark of a key that is wrong itself
    if kind == "missing":
        found = "nothing"
    elif kind == "extra_forbidden":
        found = "an unknown key"
    elif key[:2] in SECRETS or "@" in str(value):  # a URL may have credentials
        found = "an invalid value (secrets are not shown)"
    else:
        found = quoted(value)
    document.problem(key, found, _known_keys(key) if kind == "extra_forbidden" else _allowed(detail))
    without_backend = key[:1] == ("services",) and len(key) > SERVICE_DEPTH and key[SERVICE_DEPTH] == "backend"
    return key[:SERVICE_DEPTH] if without_backend or kind == "missing" else key


def _allowed(detail: ErrorDetails) -> str:
    if detail["type"] not in _ALLOWED:
        return detail["msg"]
    context = {name: str(value).replace("'", "") for name, value in detail.get("ctx", {}).items()}
    return _ALLOWED[detail["type"]].format_map(context)


def _known_keys(unknown: Key) -> str:
    """Return the keys of the section that an unknown key stands in, with the most similar one as a hint."""
    model: Any = SettingsFile
    for depth, part in enumerate(unknown[:-1]):
        if unknown[0] == "services" and depth < SERVICE_DEPTH:
            model = ServiceEntry  # any key of `services` is a host
        else:
            annotation = model.model_fields[part].annotation
            model = next((each for each in get_args(annotation) if each is not NoneType), annotation)
    known = list(model.model_fields)
    near = difflib.get_close_matches(str(unknown[-1]), known, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{', '.join(known)}{hint}"


def _remove(data: dict[str, Any], key: Key) -> None:
    """Remove the value at a key, if it is there. For an item of a list the whole list is removed."""
    here: Any = data
    for part in key[:-1]:
        here = here.get(part) if isinstance(here, dict) else None
    if isinstance(here, dict):
        here.pop(key[-1], None)
    elif len(key) > 1:
        _remove(data, key[:-1])


def _check_hosts(document: Document) -> None:
    """Add a problem for each key of `services` that is no host pattern, or that is the same as an earlier one."""
    services = document.data.get("services") if isinstance(document.data, dict) else None
    if not isinstance(services, dict):
        return
    seen: dict[str, str] = {}
    for name in services:
        try:
            canonical = addresses.service_pattern(name)
        except ValueError as error:
            document.problem(("services", name), quoted(name), str(error))
            continue
        if canonical in seen:
            allowed = f"each host once; it is the same host as {seen[canonical]!r}"
            document.problem(("services", name), quoted(name), allowed)
        seen.setdefault(canonical, name)
