"""Writes what is generated from the schema of the settings: configs/gateway.schema.json and docs/reference/settings.md.

Run by `make docs`. A test compares both files with what `generated` returns.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from livegate.settings import json_schema

CHECKOUT = Path(__file__).resolve().parents[1]
SERVICE = "services.HOST"

HEAD = """\
# Settings

Reference of `gateway.yaml`, generated from the schema by `make docs`. An annotated example is
[configs/gateway.yaml](../../configs/gateway.yaml); [configs/gateway.schema.json](../../configs/gateway.schema.json)
(`livegate check --schema`) gives editors completion.

**File.** `livegate run --config FILE` or `--set gateway_config=FILE`, else the environment variable
`GATEWAY_CONFIG_FILE`, else `configs/gateway.yaml`. Without a file, `GATEWAY_SERVICES` is enough.

**Reload.** An edit of the file, or of a certificate that it names, is applied at once, and so is `kill -HUP`. No
connection is dropped: requests and sockets in progress keep the settings that they started with. A file with problems
changes nothing; each problem is logged.

**Check.** `livegate check FILE` prints the route table and ends with status 0, or prints every problem and ends with
status 1:

```
gateway.yaml:2: log.level: found 'loud', allowed: debug, info, warning or error
```

**Environment.** `${NAME}` in a value is replaced by that environment variable, and is a problem if it is not set; `$$`
is a dollar sign. Three variables override the file:

| variable | overrides | example |
|---|---|---|
| `GATEWAY_SERVICES` | `services` | `app.example.com=>http://127.0.0.1:4000;default=>http://127.0.0.1:4001` |
| `RATE_LIMIT_USER` | `rate_limit.user` | `100` (per minute), or `300/hour` |
| `RATE_LIMIT_IP` | `rate_limit.ip` | `500` (per minute), or `20/second` |
"""


class Schema:
    """JSON Schema of the settings, with its definitions resolved."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.root = schema
        self.definitions: dict[str, dict[str, Any]] = schema["$defs"]

    def resolved(self, part: dict[str, Any]) -> tuple[str, dict[str, Any], bool]:
        """Return name and definition that a part refers to, and whether it may also be null."""
        forms = [form for form in part.get("anyOf", [part]) if form.get("type") != "null"]
        nullable = "anyOf" in part and len(forms) < len(part["anyOf"])
        (form,) = forms if len(forms) == 1 else [forms[-1]]  # of a service, the long form
        if "$ref" not in form:
            return "", {**part, **form}, nullable
        name = form["$ref"].rpartition("/")[2]
        inner_name, definition, inner_nullable = self.resolved(self.definitions[name])
        return inner_name or name, definition, nullable or inner_nullable

    def sections(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return path and definition of each section, parents first, in the order of the file."""
        yield "", self.root
        yield from self._below("", self.root)

    def _below(self, path: str, section: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, part in section["properties"].items():
            below = f"{path}.{key}".removeprefix(".")
            if below == "services":
                below, part = SERVICE, part["additionalProperties"]  # noqa: PLW2901 - the section is its entry
            name, definition, _ = self.resolved(part)
            if "properties" in definition and not (path == SERVICE and name == "WebSocketLimits"):
                yield below, definition
                yield from self._below(below, definition)

    def type_of(self, part: dict[str, Any]) -> str:
        """Return the allowed values of a key in words."""
        name, definition, nullable = self.resolved(part)
        if "properties" in definition:
            words = "section"
        elif "enum" in definition or "const" in definition:
            words = ", ".join(f"`{value}`" for value in definition.get("enum", [definition.get("const")]))
        elif definition["type"] == "array":
            words = f"list of {self.type_of(definition['items'])}"
        elif definition["type"] == "object":
            words = f"mapping to {self.type_of(definition['additionalProperties'])}"
        elif definition["type"] == "boolean":
            words = "`true`, `false`"
        elif name:
            words = f"[{name}](#types)"
        else:
            words = f"{definition['minimum']} to {definition['maximum']:,}"
        return f"{words} or `null`" if nullable else words

    def example_of(self, part: dict[str, Any]) -> Any:
        """Return a value that the key may have: its own example, else that of its type, else its default."""
        if "examples" in part:
            return part["examples"][0]
        _, definition, _ = self.resolved(part)
        if part.get("default") is not None:
            return part["default"]
        return definition["examples"][0] if "examples" in definition else definition.get("enum", [True])[0]


def _slug(path: str) -> str:
    """Return GitHub's anchor of a heading."""
    return "".join(letter for letter in path.lower() if letter.isalnum() or letter == "_")


def _default(part: dict[str, Any], *, required: bool, inherits: bool) -> str:
    if required:
        return "required"
    if "default" in part:
        return f"`{json.dumps(part['default']).strip(chr(34))}`"
    return "inherited" if inherits else ""


def _section(schema: Schema, path: str, section: dict[str, Any]) -> Iterator[str]:
    yield f"## {path or 'Top level'}\n"
    if path:
        yield f"{section['description']}\n"
    yield "| key | values | default | meaning |\n|---|---|---|---|"
    example: dict[str, Any] = {}
    for key, part in section["properties"].items():
        name, definition, nullable = schema.resolved(part)
        below = f"{path}.{key}".removeprefix(".")
        meaning = part.get("description", "")
        values = schema.type_of(part)
        if below == "services":
            values, meaning = f"mapping of hosts to URLs or [sections](#{_slug(SERVICE)})", part["description"]
        elif "properties" in definition:
            of_service = path == SERVICE and name == "WebSocketLimits"
            target = "websocket" if of_service else below
            values = f"[section](#{_slug(target)})" + (" or `null`" if nullable else "")
            summary = definition["description"].partition("\n")[0]
            meaning = "Keys in place of those of the global section." if of_service else f"{summary} {meaning}".strip()
        default = _default(
            part,
            required=key in section.get("required", ()),
            inherits=path.startswith(SERVICE) and "properties" not in definition,
        )
        yield f"| `{key}` | {values} | {default} | {meaning} |"
        if "properties" not in definition:
            example[key] = schema.example_of(part)
    yield ""
    if example:
        yield f"```yaml\n{_yaml(path, example)}```\n"


def _yaml(path: str, example: dict[str, Any]) -> str:
    """Return an example as YAML, with its keys on one line each."""
    lines, depth = [], 0
    for part in path.split(".") if path else []:
        lines.append(f"{'  ' * depth}{part.replace('HOST', 'app.example.com')}:")
        depth += 1
        if part == "HOST" and path != SERVICE:
            lines.append(f"{'  ' * depth}backend: https://192.168.1.11:8443")
    for key, value in example.items():
        text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
        lines.append(f"{'  ' * depth}{key}: {text}")
    return "\n".join(lines) + "\n"


def _types(schema: Schema) -> Iterator[str]:
    yield "## Types\n"
    yield "| type | allowed | example |\n|---|---|---|"
    for name, definition in sorted(schema.definitions.items()):
        if definition.get("type") == "string" and "description" in definition:
            yield f"| {name} | {definition['description']} | `{definition['examples'][0]}` |"
        elif definition.get("type") in ("integer", "number"):
            kind = "whole number" if definition["type"] == "integer" else "number"
            yield f"| {name} | A {kind} from {definition['minimum']} to {definition['maximum']:,}. | `1` |"


def generated() -> dict[Path, str]:
    """Return the content of each generated file."""
    schema = Schema(json_schema())
    parts = [HEAD]
    for path, section in schema.sections():
        parts.extend(_section(schema, path, section))
    parts.extend(_types(schema))
    return {
        CHECKOUT / "configs" / "gateway.schema.json": json.dumps(schema.root, indent=2) + "\n",
        CHECKOUT / "docs" / "reference" / "settings.md": "\n".join(parts) + "\n",
    }


if __name__ == "__main__":
    for file, text in generated().items():
        file.write_text(text)
