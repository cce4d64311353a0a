"""Codec of channel frames: serializers V1 and V2, text and binary, both directions, exact to the byte.

Follows Phoenix.Socket.V1.JSONSerializer, Phoenix.Socket.V2.JSONSerializer and serializer.js of phoenix.js, 1.7 and 1.8.
"""

import json
import re
from typing import Any, Literal

import orjson
from msgspec import Struct

from livegate.lenient_json import json_bytes

type Vsn = Literal["1", "2"]

MAX_NAME_BYTES = 255
"""Bytes of each name in a binary frame, because its length is one byte; `encode` raises ValueError beyond."""
_PUSH, _REPLY, _BROADCAST = 0, 1, 2
_SEMVER = re.compile(r"(1|2)\.0\.(0|[1-9]\d{0,9})(-[0-9A-Za-z.-]{1,100})?(\+[0-9A-Za-z.-]{1,100})?")


class Frame(Struct, frozen=True, gc=False):
    """One message of a channel (Phoenix.Socket.Message, .Reply and .Broadcast)."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: object
    """A JSON value, or bytes in a binary frame; a binary reply is `phx_reply` with `{"status", "response": bytes}`."""


class NotPhoenix(Struct, frozen=True, gc=False):
    """Result for input that is not a frame, with the reason for people."""

    reason: str


def parse_vsn(value: str | None) -> Vsn | None:
    """Return the serializer for the `vsn` of a socket's URL (1.0.0 if absent); None if Phoenix refuses it with 403."""
    if value is None:
        return "1"
    match = _SEMVER.fullmatch(value)
    if match is None or (match[3] and match[2] == "0"):  # a pre-release of 2.0.0 comes before it
        return None
    return "1" if match[1] == "1" else "2"


def decode(data: bytes, *, text: bool, from_client: bool, vsn: Vsn) -> Frame | NotPhoenix:
    """Decode one frame. O(len(data)); never raises."""
    if not text:
        return _decode_binary(data, from_client) if vsn == "2" else NotPhoenix("serializer V1 has no binary frames")
    try:
        value = read_json(data)
    except RecursionError:
        return NotPhoenix("JSON is nested too deeply")
    except ValueError:  # also for invalid UTF-8, and for numbers of thousands of digits
        return NotPhoenix("not JSON")
    if vsn == "2":
        return _from_list(value)
    return _from_object(value, from_client)


def read_json(data: bytes) -> Any:
    """Decode JSON. Input that orjson refuses, such as a lone surrogate, goes to the slower `json`.

    Raises ValueError, and RecursionError if it is nested too deeply.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data, parse_constant=_no_constant)


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _from_list(value: object) -> Frame | NotPhoenix:
    if not isinstance(value, list) or len(value) < 5:
        return NotPhoenix("not a list of join_ref, ref, topic, event and payload")
    return _frame(value[0], value[1], value[2], value[3], value[4])


def _from_object(value: object, from_client: bool) -> Frame | NotPhoenix:
    needed = ("topic", "event", "payload", "ref")
    if not isinstance(value, dict) or any(key not in value for key in needed):
        return NotPhoenix("not an object with topic, event, payload and ref")
    join_ref = value.get("join_ref") if from_client else None
    return _frame(join_ref, value["ref"], value["topic"], value["event"], value["payload"])


def _frame(join_ref: object, ref: object, topic: object, event: object, payload: object) -> Frame | NotPhoenix:
    if not isinstance(topic, str) or not isinstance(event, str):
        return NotPhoenix("topic and event are not both text")
    if not _is_ref(join_ref) or not _is_ref(ref):
        return NotPhoenix("join_ref or ref is neither text nor null")
    return Frame(_ref(join_ref), _ref(ref), topic, event, payload)


def _is_ref(value: object) -> bool:
    """Return whether a value is a ref. Phoenix's own clients send text, others numbers; Phoenix returns either."""
    return value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _ref(value: object) -> str | None:
    return value if isinstance(value, str) else None if value is None else str(value)


def _decode_binary(data: bytes, from_client: bool) -> Frame | NotPhoenix:  # noqa: PLR0911 - one for each layout
    kind = data[0] if data else None
    if kind == _PUSH:
        names = _names(data, 4 if from_client else 3)
        if isinstance(names, NotPhoenix):
            return names
        ref = (names.pop(1) or None) if from_client else None
        return Frame(names[0] or None, ref, names[1], names[2], data[_payload_start(data, 4 if from_client else 3) :])
    if kind == _REPLY and not from_client:
        names = _names(data, 4)
        if isinstance(names, NotPhoenix):
            return names
        payload = {"status": names[3], "response": data[_payload_start(data, 4) :]}
        return Frame(names[0] or None, names[1] or None, names[2], "phx_reply", payload)
    if kind == _BROADCAST and not from_client:
        names = _names(data, 2)
        if isinstance(names, NotPhoenix):
            return names
        return Frame(None, None, names[0], names[1], data[_payload_start(data, 2) :])
    return NotPhoenix("a binary frame of an unknown kind" if data else "an empty binary frame")


def _payload_start(data: bytes, count: int) -> int:
    """Return the offset of the payload."""
    return 1 + count + sum(data[1 : 1 + count])


def _names(data: bytes, count: int) -> list[str] | NotPhoenix:
    if len(data) < 1 + count or len(data) < _payload_start(data, count):
        return NotPhoenix("a binary frame ends within its names")
    names, at = [], 1 + count
    try:
        for size in data[1 : 1 + count]:
            names.append(data[at : at + size].decode())
            at += size
    except UnicodeDecodeError:
        return NotPhoenix("the names of a binary frame are not UTF-8")
    return names


def encode(frame: Frame, *, from_client: bool, vsn: Vsn) -> bytes:
    """Encode a frame as Phoenix does, or phoenix.js if `from_client`. Raises ValueError if it cannot be encoded."""
    binary = _encode_binary(frame, from_client)
    if binary is not None:
        if vsn == "1":
            raise ValueError("serializer V1 has no binary frames")
        return binary
    if vsn == "2":
        return _json([frame.join_ref, frame.ref, frame.topic, frame.event, frame.payload])
    value: dict[str, Any] = {"topic": frame.topic, "event": frame.event, "payload": frame.payload, "ref": frame.ref}
    if from_client:
        return _json(value if frame.join_ref is None else value | {"join_ref": frame.join_ref})
    return _json({key: value[key] for key in ("event", "payload", "ref", "topic")})


def _encode_binary(frame: Frame, from_client: bool) -> bytes | None:
    """Return a frame in binary layout; None for a text frame."""
    payload = frame.payload
    if isinstance(payload, bytes):
        if from_client:
            return _pack(_PUSH, (frame.join_ref or "", frame.ref or "", frame.topic, frame.event), payload)
        if frame.join_ref is None and frame.ref is None:
            return _pack(_BROADCAST, (frame.topic, frame.event), payload)
        return _pack(_PUSH, (frame.join_ref or "", frame.topic, frame.event), payload)
    if not from_client and frame.event == "phx_reply" and isinstance(payload, dict):
        response, status = payload.get("response"), payload.get("status")
        if isinstance(response, bytes) and isinstance(status, str):
            return _pack(_REPLY, (frame.join_ref or "", frame.ref or "", frame.topic, status), response)
    return None


def _pack(kind: int, names: tuple[str, ...], payload: bytes) -> bytes:
    encoded = [name.encode() for name in names]
    for name in encoded:
        if len(name) > MAX_NAME_BYTES:
            raise ValueError(f"{name[:40]!r}… is {len(name)} bytes long; a name in a binary frame has at most 255")
    return bytes([kind, *(len(name) for name in encoded)]) + b"".join(encoded) + payload


def json_size(value: object) -> int:
    """Return the bytes of a JSON value as Phoenix encodes it; 0 if it is nested too deeply."""
    try:
        return len(json_bytes(value))
    except ValueError:
        return 0


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    except UnicodeEncodeError:  # a lone surrogate, which must be escaped
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
