"""Types of the values in the settings file: how each is parsed, what is allowed, and its JSON Schema."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from livegate.settings import addresses, units
from livegate.settings.addresses import MAX_NAME_CHARACTERS, Backend, Listen
from livegate.settings.units import Rate

MAX_COUNT = 10_000_000
NETWORK_ALLOWED = "a network such as 10.0.0.0/8 or an address such as 192.0.2.7"
PATH_ALLOWED = "the path of a file, absolute or relative to the folder of the settings file"
SERVER_NAME_ALLOWED = "a host name or an IP address"


def _reader(parse: Callable[[Any], Any]) -> BeforeValidator:
    """Return a validator that turns the ValueError of a parser into the `allowed` part of a problem."""

    def validate(value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("livegate", "{allowed}", {"allowed": str(error)}) from None

    return BeforeValidator(validate)


def _text(parse: Callable[[Any], Any], allowed: str, example: str, pattern: str = "^.+$") -> tuple[Any, Any]:
    """Return the annotations of a type that is text in the file and is parsed on load."""
    schema = {"type": "string", "description": f"{allowed[0].upper()}{allowed[1:]}.", "pattern": pattern}
    return _reader(parse), WithJsonSchema({**schema, "examples": [example]})


def _matching(pattern: str, allowed: str, example: str, canonical: Callable[[str], str] = str) -> tuple[Any, Any]:
    """Return the annotations of a text that has to match a pattern."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(allowed)
        return canonical(value)

    return _text(parse, allowed, example, pattern)


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(NETWORK_ALLOWED) from None


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(PATH_ALLOWED)
    return Path(value).expanduser()


def _server_name(value: object) -> str:
    return addresses.host_name(value if isinstance(value, str) else "", SERVER_NAME_ALLOWED).strip("[]")


def _letters_and_digits(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


type Duration = Annotated[float, *_text(units.duration, units.DURATION_ALLOWED, "10s", units.DURATION_PATTERN)]
type Size = Annotated[int, *_text(units.size, units.SIZE_ALLOWED, "32KiB", units.SIZE_PATTERN)]
type RequestRate = Annotated[Rate, *_text(units.rate, units.RATE_ALLOWED, "100/minute", units.RATE_PATTERN)]
type Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
type Ratio = Annotated[
    float,
    _reader(units.ratio),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1, "examples": [0.05]}),
]
type ListenAddress = Annotated[
    Listen, *_text(addresses.listen, addresses.LISTEN_ALLOWED, "127.0.0.1:8080", r"^.*:\d{1,5}$")
]
type BackendUrl = Annotated[
    Backend,
    *_text(addresses.backend, addresses.BACKEND_ALLOWED, "http://127.0.0.1:4000", r"^https?://[^/?#@\s]+/?$"),
]
type CollectorUrl = Annotated[
    str,
    *_text(addresses.otlp_endpoint, addresses.COLLECTOR_ALLOWED, "http://127.0.0.1:4318", r"^https?://[^?#@\s]+$"),
]
type Origin = Annotated[
    str,
    *_text(addresses.origin, addresses.ORIGIN_ALLOWED, "https://app.example.com", r"^(null|https?://[^/?#@\s]+)$"),
]
type Network = Annotated[IPv4Network | IPv6Network, *_text(_network, NETWORK_ALLOWED, "10.0.0.0/8")]
type FilePath = Annotated[Path, *_text(_path, PATH_ALLOWED, "certs/example.pem")]
type ServerName = Annotated[str, *_text(_server_name, SERVER_NAME_ALLOWED, "api.internal")]
type SecretField = Annotated[
    str,
    *_matching(
        r"^[A-Za-z][A-Za-z0-9 _.-]{0,63}$",
        "a field name of at most 64 characters: a letter, then letters, digits, spaces and _ . -",
        "shoe size",
        _letters_and_digits,
    ),
]
"""Name of a field whose value is secret, reduced to letters and digits, so that `shoe size` also means `shoeSize`."""
type AdminHost = Annotated[
    str,
    *_matching(
        rf"^[A-Za-z0-9_.-]{{1,{MAX_NAME_CHARACTERS}}}$",
        "a host name without port",
        "ops.example.com",
        lambda name: name.lower().removesuffix("."),
    ),
]
type Token = Annotated[
    str, *_matching(r"^[!-~]{16,256}$", "16 to 256 visible ASCII characters", "${LIVEGATE_ADMIN_TOKEN}")
]
type TracingName = Annotated[
    str,
    *_matching(
        r"^[A-Za-z0-9][A-Za-z0-9 _.:/-]{0,99}$",
        "a name of at most 100 characters: a letter or digit, then letters, digits, spaces and _ . : / -",
        "livegate-staging",
    ),
]
type HeaderName = Annotated[
    str,
    *_matching(r"^[A-Za-z0-9-]{1,100}$", "the name of a header field, at most 100 letters, digits and -", "x-api-key"),
]
type HeaderValue = Annotated[
    str,
    *_matching(
        r"^[!-~][ -~]{0,4095}$",
        "a header value of at most 4096 visible ASCII characters and spaces",
        "${COLLECTOR_KEY}",
    ),
]
AS_TUPLE = Field(strict=False)
"""Annotation that lets a tuple be read from a list of the file."""
