"""Reads, checks and completes the settings: file, environment, defaults. Called at start, on reload, and by `check`."""

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
from livegate.settings.problems import Problem, SettingsError, shown
from livegate.settings.schema import ServiceFile, SettingsFile
from livegate.settings.yaml_document import Document, Key, read

SERVICES_VARIABLE = "GATEWAY_SERVICES"
RATE_VARIABLES = {"RATE_LIMIT_USER": "user", "RATE_LIMIT_IP": "ip"}
FILE_VARIABLE = "GATEWAY_CONFIG_FILE"
MITMWEB = ("127.0.0.1", 8081)
SERVICES_ALLOWED = 'services as in GATEWAY_SERVICES="app.example.com=>http://127.0.0.1:4000;default=>http://…"'

SECRETS: dict[Key, str] = {
    ("admin", "token"): "16 to 256 visible ASCII characters",
    ("tracing", "headers"): "names of header fields with their values, both of visible ASCII characters",
}
"""Keys of whose values no message shows anything, and what is allowed there."""
MAX_ROUNDS = 20
"""How often the file is read again without the keys that were wrong; each level of nesting may need one."""
SERVICE_DEPTH = 2

_WORDS = {
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "list_type": "a list",
    "int_type": "a whole number",
    "missing": "this key; it is required",
}


def find_settings_file(option: str | None, environ: Mapping[str, str]) -> Path | None:
    """Where the settings are: the option, else GATEWAY_CONFIG_FILE, else configs/gateway.yaml of the checkout or here.

    None when there is none of these. A file that was named is returned even when it does not exist: that is an error.
    """
    named = option or environ.get(FILE_VARIABLE)
    if named:
        return Path(named).expanduser()
    checkout = Path(__file__).resolve().parents[3] / "configs" / "gateway.yaml"
    local = Path("configs") / "gateway.yaml"
    return next((path for path in (checkout, local) if path.is_file()), None)


def load_settings(
    path: Path | None, environ: Mapping[str, str], *, forbidden: Sequence[tuple[str, int]] = (MITMWEB,)
) -> Settings:
    """Load and check settings.

    `forbidden` are other listeners of this process, which no backend may be. Raises SettingsError with every problem
    of the file, the environment and the files that they name.
    """
    document = _document(path, environ)
    _override(document, environ)
    file = _validated(document)
    _check_names(document)
    settings = build(file, document, path, forbidden)
    if document.problems or settings is None:
        raise SettingsError(document.problems)
    return settings


def _document(path: Path | None, environ: Mapping[str, str]) -> Document:
    if path is None:
        document = Document("settings", data={})
        if SERVICES_VARIABLE not in environ:
            document.problem(
                (), "no settings file", f"one at configs/gateway.yaml, named by {FILE_VARIABLE} or --config"
            )
        return document
    file = _displayed(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        document = Document(file, data={})
        document.problem((), error.strerror or "an error", "a settings file that can be read")
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
    """Let environment variables take the place of what the file says, problems under their own names."""
    if not isinstance(document.data, dict):
        return
    if SERVICES_VARIABLE in environ:
        document.data["services"] = _services_from(environ[SERVICES_VARIABLE], document)
        document.lines = {key: line for key, line in document.lines.items() if key[:1] != ("services",)}
    for variable, budget in RATE_VARIABLES.items():
        if variable in environ:
            _override_rate(document, variable, budget, environ[variable].strip())


def _services_from(text: str, document: Document) -> dict[str, str]:
    services: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, arrow, url = (item.strip() for item in part.partition("=>"))
        if not arrow or not name or not url:
            document.problems.append(Problem(SERVICES_VARIABLE, None, "", shown(part.strip()), SERVICES_ALLOWED))
        elif name in services:
            document.problems.append(Problem(SERVICES_VARIABLE, None, name, "the host again", "each host once"))
        else:
            services[name] = url
    return services


def _override_rate(document: Document, variable: str, budget: str, text: str) -> None:
    rate = f"{text}/minute" if text.isascii() and text.isdigit() else text
    try:
        units.rate(rate)
    except ValueError:
        allowed = "a number of requests a minute such as 100, or a rate such as 300/minute"
        document.problems.append(Problem(variable, None, "", shown(text), allowed))
        return
    section = document.data.setdefault("rate_limit", {})
    if isinstance(section, dict):
        section[budget] = rate


def _validated(document: Document) -> SettingsFile:
    """The file's values in its shape. Keys with problems are noted and taken out, so that the others are still read."""
    data = document.data
    if not isinstance(data, dict):
        document.problem((), shown(data), "a mapping of keys to values")
        data = {}
    data = copy.deepcopy({key: value for key, value in data.items() if value is not None})
    for key in document.spoiled:
        _take_out(data, key)
    for _ in range(MAX_ROUNDS):
        try:
            return SettingsFile.model_validate(data)
        except ValidationError as error:
            wrong = [_note(document, detail) for detail in error.errors()]
            for key in sorted(wrong, key=len):
                _take_out(data, key)
    return SettingsFile()


def _note(document: Document, detail: ErrorDetails) -> Key:
    """Note one of pydantic's errors; returns the key whose value has to go, for the rest to be read."""
    key = _without_forms(detail["loc"])
    match detail["type"]:
        case "missing":
            found = "nothing"
        case "extra_forbidden":
            found = "an unknown key"
        case _ if key[:2] in SECRETS or _has_credentials(key, detail["input"]):
            found = "something else (secrets are not shown)"
        case _:
            found = shown(detail["input"])
    document.problem(key, found, _allowed(detail, key))
    short_form = key[:1] == ("services",) and len(key) > SERVICE_DEPTH and key[SERVICE_DEPTH] == "backend"
    return key[:SERVICE_DEPTH] if short_form or detail["type"] == "missing" else key


def _has_credentials(key: Key, value: object) -> bool:
    """Whether it is a collector's URL with a password in it."""
    return key == ("tracing", "endpoint") and "@" in str(value)


def _take_out(data: dict[str, Any], key: Key) -> None:
    """Remove the value at a key, if it is (still) there; of a list all goes, as its items have no names."""
    here: Any = data
    for part in key[:-1]:
        here = here.get(part) if isinstance(here, dict) else None
    if isinstance(here, dict):
        here.pop(key[-1], None)
    elif len(key) > 1:
        _take_out(data, key[:-1])


def _without_forms(location: tuple[int | str, ...]) -> Key:
    """Pydantic's location without the names of validators that it puts between."""
    return tuple(part for part in location if not (isinstance(part, str) and part.startswith("function-")))


def _allowed(detail: ErrorDetails, key: Key) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "livegate":
        return str(context["allowed"])
    if kind == "extra_forbidden":
        known = _known_keys(key[:-1])
        near = difflib.get_close_matches(str(key[-1]), known, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return f"{', '.join(known)}{hint}"
    if key[:2] in SECRETS:
        return SECRETS[key[:2]]
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in ("greater_than_equal", "less_than_equal"):
        at_least, at_most = context.get("ge"), context.get("le")
        return f"a whole number of at least {at_least}" if at_most is None else f"a whole number up to {at_most}"
    return _WORDS.get(kind, detail["msg"])


def _known_keys(section: Key) -> list[str]:
    """The keys that a section may have; a service's name is any key of `services`."""
    model: Any = SettingsFile
    for depth, part in enumerate(section):
        if section[0] == "services" and depth < SERVICE_DEPTH:
            model = ServiceFile
        else:
            wanted = model.model_fields[part].annotation
            model = next((each for each in get_args(wanted) if each is not NoneType), wanted)
    return list(model.model_fields)


def _check_names(document: Document) -> None:
    """Services whose names are the same once they are in canonical form, and names that are none."""
    services = document.data.get("services") if isinstance(document.data, dict) else None
    if not isinstance(services, dict):
        return
    seen: dict[str, str] = {}
    for name in services:
        try:
            canonical = addresses.service_pattern(name)
        except ValueError as error:
            document.problem(("services", name), shown(name), str(error))
            continue
        if canonical in seen:
            allowed = f"each host once; {seen[canonical]!r} is the same"
            document.problem(("services", name), shown(name), allowed)
        seen.setdefault(canonical, name)
