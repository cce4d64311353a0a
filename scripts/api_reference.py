"""Writes what is generated from the admin API: page/openapi.json and docs/reference/api.md.

Run by `make docs`. Paths come from the table in admin/api.py, bodies from the annotations of its handlers, and
descriptions from docstrings, those of fields included. A test compares both files with what `generated` returns.
"""

import ast
import inspect
import itertools
import json
import textwrap
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

import msgspec

from livegate.admin import api, bodies, handlers
from livegate.admin.auth import COOKIE
from livegate.inspect.json_units import Body
from livegate.settings import HostTable, Settings
from livegate.settings.schema import Admin, Section

CHECKOUT = Path(__file__).resolve().parents[1]
SCHEMAS = "#/components/schemas/"
ERRORS = {
    400: ("BadRequest", "A parameter or the body is invalid."),
    401: ("Unauthorized", "The token is missing or wrong."),
    403: ("Forbidden", "The Host is unknown, or another site made the browser send the request."),
    404: ("NotFound", "The object does not exist, or is no longer kept."),
    405: ("MethodNotAllowed", "The method is not allowed; see the Allow field."),
    415: ("UnsupportedMediaType", "The body is not application/json."),
    503: ("Unresponsive", "The gateway's event loop does not respond."),
}
HEADERS = {401: "WWW-Authenticate", 405: "Allow"}
PLACEHOLDERS = {
    "number": {"description": "Number of the session.", "schema": {"type": "integer", "minimum": 0}},
    "frame": {"description": "Number of the frame.", "schema": {"type": "integer", "minimum": 0}},
    "id": {"description": "Id of the socket.", "schema": {"type": "string", "maxLength": 100}},
}
LIVE = """\
Messages of the server are JSON objects with a `type`: first `hello` (overview, backends, incidents), then `sessions`
(rows, and the numbers of those that are gone), `steps` (steps, backends, sockets), `incidents` (list; an entry replaces
that with the same id) and `session` (detail, frames). The client selects a session with
`{"watch": number, "from": frame}`.
"""
INTRODUCTION = """\
The admin listener (`admin.listen`) serves operators. Beyond loopback it requires a token: `Authorization: Bearer …`.
The Host must be an address, localhost, or one of `admin.hosts`. Cross-site requests are refused. HEAD is allowed
wherever GET is. Texts from traffic are redacted and cut to 2000 characters.
"""


def _plain(text: str) -> str:
    return " ".join(text.split())


def docstrings_of(kind: type) -> dict[str, str]:
    """Return the docstrings of a class's fields, inherited ones included."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("livegate"):
            body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0].body  # type: ignore[attr-defined]
            for statement, text in itertools.pairwise(body):
                if isinstance(statement, ast.AnnAssign) and isinstance(text, ast.Expr):
                    found[statement.target.id] = _plain(text.value.value)  # type: ignore[union-attr, attr-defined]
    return found


def _describe(schema: dict[str, Any], docstrings: dict[str, str]) -> None:
    """Add the docstrings of fields, before the units that are there already."""
    for name, part in schema["properties"].items():
        text = [docstrings.get(name, ""), part.pop("description", "")]
        text += [form.pop("description", "") for form in part.get("anyOf", ())]
        if "$ref" in part:
            part.pop("type", None)  # of a field whose schema is elsewhere
        if any(text):
            part["description"] = " ".join(filter(None, dict.fromkeys(text)))


# The settings, whose types are not msgspec's


def _settings_type(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what `settings.public_values` makes of a value of this type."""
    unit = {"Duration": "Seconds.", "Size": "Bytes."}.get(getattr(kind, "__name__", ""))
    while isinstance(kind, TypeAliasType) or get_origin(kind) is Annotated:
        kind = kind.__value__ if isinstance(kind, TypeAliasType) else get_args(kind)[0]
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_settings_type(each, schemas) for each in get_args(kind)]}
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    if origin in (tuple, list, frozenset, HostTable):
        return {"type": "array", "items": _settings_type(get_args(kind)[0], schemas)}
    if issubclass(kind, Section) or (is_dataclass(kind) and "__str__" not in vars(kind)):
        return {"$ref": SCHEMAS + _settings_object(kind, schemas)}
    names = {bool: "boolean", int: "integer", float: "number", types.NoneType: "null"}
    return {"type": names.get(kind, "string"), **({"description": unit} if unit else {})}


def _settings_object(kind: Any, schemas: dict[str, Any]) -> str:
    """Add the schema of a section or dataclass. Returns its name."""
    name = f"Settings{kind.__name__.removeprefix('Settings')}"
    if name not in schemas:
        schemas[name] = {}
        docstrings = docstrings_of(kind)
        if issubclass(kind, Section):
            types_of = {key: each.annotation for key, each in kind.model_fields.items() if each.repr}
            docstrings |= {key: each.description or "" for key, each in kind.model_fields.items()}
        else:
            hints = get_type_hints(kind, include_extras=True)
            types_of = {each.name: hints[each.name] for each in fields(kind) if each.repr}
        schemas[name] = {
            "type": "object",
            "description": _plain(inspect.getdoc(kind) or ""),
            "properties": {key: _settings_type(each, schemas) for key, each in types_of.items()},
            "required": list(types_of),
            "additionalProperties": False,
        }
        if kind is Admin:
            schemas[name]["properties"]["token"] = {"enum": ["set", None]}
            schemas[name]["required"].append("token")
            docstrings["token"] = "`set`, or null. The token itself is never shown."  # noqa: S105
        _describe(schemas[name], docstrings)
    return name


# OpenAPI


def _body_of(handler: type[handlers.Read | handlers.Command]) -> Any:
    return get_type_hints(handler.read if issubclass(handler, handlers.Read) else handler.run)["return"]


def _error(status: int) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{ERRORS[status][0]}"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {handlers.JSON: {"schema": schema}}


def _parameter(parameter: handlers.Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": 0, "default": parameter.default}
    if parameter.choices:
        schema = {"enum": list(parameter.choices), "default": parameter.default}
    elif isinstance(parameter.default, str):
        schema = {"type": "string", "maxLength": parameter.maximum}
    elif parameter.maximum < handlers.MAX_NUMBER:
        schema["maximum"] = parameter.maximum
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.description,
        "schema": schema,
    }


def _operation(tag: str, path: str, handler: type[handlers.Read | handlers.Command]) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(handler) or "").partition("\n\n")
    body, is_command = _body_of(handler), issubclass(handler, handlers.Command)
    placeholders = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, **PLACEHOLDERS[name]} for name in placeholders]
    parameters += [_parameter(each) for each in handler.query]
    content = {handler.content_type.partition(";")[0]: {"schema": {"type": "string"}}}
    if issubclass(body, Body):
        content = _json({"$ref": SCHEMAS + body.__name__})
    errors = [401, 403, 405, 503, *([400] if handler.query or is_command else ()), *([404] if placeholders else ())]
    responses = {str(status): _error(status) for status in sorted([*errors, *([415] if is_command else ())])}
    responses[str(handler.status)] = {"description": HTTPStatus(handler.status).phrase, "content": content}
    if handler is api.ReadyHandler:
        forms = {"anyOf": [{"$ref": SCHEMAS + "Ready"}, {"$ref": SCHEMAS + "Error"}]}
        responses["503"] = {"description": f"Not ready. {ERRORS[503][1]}", "content": _json(forms)}
    operation: dict[str, Any] = {
        "operationId": handler.__name__.removesuffix("Handler").lower(),
        "tags": [tag],
        "summary": _plain(summary),
    }
    if description:
        operation["description"] = _plain(description)
    if parameters:
        operation["parameters"] = parameters
    if is_command:
        operation["requestBody"] = {"required": False, "content": _json({"$ref": SCHEMAS + handler.body.__name__})}
    return operation | {"responses": dict(sorted(responses.items()))}


def _paths() -> Iterator[tuple[str, dict[str, Any]]]:
    resources = {path: (tag, handler) for tag, group in api.RESOURCES.items() for path, handler in group.items()}
    for path, (tag, handler) in resources.items():
        method = "post" if issubclass(handler, handlers.Command) else "get"
        yield path, {method: _operation(tag, path, handler)}
    for old, new in api.DEPRECATED.items():
        tag, handler = resources[new]
        name, summary = old.rpartition("/")[2], f"Old path of `{new}`."
        changes = {"operationId": name, "summary": summary, "deprecated": True}
        yield old, {"get": _operation(tag, old, handler) | changes}
    yield (
        "/api/v1/live",
        {
            "get": {
                "operationId": "live",
                "tags": ["State"],
                "summary": "Live feed of the page, a WebSocket.",
                "description": _plain(LIVE),
                "responses": {
                    "101": {"description": HTTPStatus.SWITCHING_PROTOCOLS.phrase},
                    **{str(status): _error(status) for status in (400, 401, 403, 503)},
                },
            }
        },
    )


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document."""
    kinds: list[Any] = [bodies.Error]
    for group in api.RESOURCES.values():
        for handler in group.values():
            kinds += [handler.body] if issubclass(handler, handlers.Command) else []
            kinds += [body] if issubclass(body := _body_of(handler), Body) else []
    _, schemas = msgspec.json.schema_components(kinds, ref_template=SCHEMAS + "{name}")
    structs = {each.__name__: each for each in _subclasses(Body)}
    for name, schema in schemas.items():
        schema.pop("title", None)
        _describe(schema, docstrings_of(structs[name]))
    _settings_object(Settings, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "livegate admin listener",
            "version": "1",
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": _plain(INTRODUCTION),
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}, {"cookie": []}],
        "tags": [{"name": tag} for tag in api.RESOURCES],
        "paths": dict(_paths()),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {
                name: {
                    "description": description,
                    "content": _json({"$ref": SCHEMAS + "Error"}),
                    **({"headers": {HEADERS[status]: {"schema": {"type": "string"}}}} if status in HEADERS else {}),
                }
                for status, (name, description) in ERRORS.items()
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`admin.token` of the settings."},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "Set by the login of the page; invalid after a restart.",
                },
            },
        },
    }


def _subclasses(kind: type[Body]) -> Iterator[type[Body]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


# docs/reference/api.md

HEAD = f"""\
# Admin API

Reference of the admin listener's HTTP API, generated by `make docs`. The listener serves the same as an OpenAPI 3.1
document at `/openapi.json`. See [the admin listener](admin.md) for access and operation.

{INTRODUCTION}
Paths and fields are public names; see the [changelog](../../CHANGELOG.md). The body of an error is
[Error](#error). Every path may respond with 401, 403, 405 or 503.

| status | meaning |
|---|---|
"""


def _type_words(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if not name.startswith("Settings") or name == "SettingsBody" else "object"
    if "anyOf" in schema:
        return " or ".join(_type_words(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type_words(schema['items'])}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping to {_type_words(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _operation_text(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} {path}\n"
    yield " ".join(filter(None, [operation["summary"], operation.get("description", "")])) + "\n"
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            schema = parameter["schema"]
            values = _type_words(schema)
            limits = [f"default {schema['default']}"] if "default" in schema else []
            limits += [f"at most {schema['maximum']}"] if "maximum" in schema else []
            limits += [f"at most {schema['maxLength']} characters"] if "maxLength" in schema else []
            yield f"- `{parameter['name']}` ({', '.join([values, *limits])}): {parameter['description']}"
    if "requestBody" in operation:
        yield f"- Body: {_type_words(operation['requestBody']['content'][handlers.JSON]['schema'])}, optional."
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            yield f"- {status}: {_type_words(content['schema']) if kind == handlers.JSON else f'`{kind}`'}"
    common = {str(status) for status in (401, 403, 405, 503)}
    errors = [status for status, each in operation["responses"].items() if "$ref" in each and status not in common]
    if errors:
        yield f"- Errors: {', '.join(errors)}"
    yield ""


def reference(document: dict[str, Any]) -> str:
    """Return docs/reference/api.md."""
    lines = [HEAD + "\n".join(f"| {status} | {text} |" for status, (_, text) in ERRORS.items()) + "\n"]
    operations = [(path, *each) for path, methods in document["paths"].items() for each in methods.items()]
    for tag in api.RESOURCES:
        lines.append(f"## {tag}\n")
        for path, method, operation in operations:
            if tag in operation["tags"] and not operation.get("deprecated"):
                lines.extend(_operation_text(path, method, operation))
    lines.append("## Deprecated paths\n\n| path | instead |\n|---|---|")
    lines.extend(f"| `{old}` | `{new}` |" for old, new in api.DEPRECATED.items())
    lines.append("\n## Bodies\n")
    for name, schema in document["components"]["schemas"].items():
        if name == "Settings":
            lines.append("### Settings\n\nAll [settings](settings.md), with durations in seconds and sizes in bytes.\n")
        elif not name.startswith("Settings") or name == "SettingsBody":
            lines.append(f"### {name}\n\n{_plain(schema.get('description', ''))}\n")
            if schema["properties"]:
                lines.append("| field | type | meaning |\n|---|---|---|")
                lines.extend(
                    f"| `{field}` | {_type_words(part)} | {part.get('description', '')} |"
                    for field, part in schema["properties"].items()
                )
                lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def generated() -> dict[Path, str]:
    """Return the content of each generated file."""
    document = openapi()
    return {
        CHECKOUT / "addons" / "livegate" / "admin" / "page" / "openapi.json": json.dumps(document, indent=2) + "\n",
        CHECKOUT / "docs" / "reference" / "api.md": reference(document),
    }


if __name__ == "__main__":
    for file, text in generated().items():
        file.write_text(text)
