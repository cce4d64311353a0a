"""JSON of values from outside, which may hold lone surrogates or integers of more than 64 bits."""

import json

import orjson


def json_bytes(value: object) -> bytes:
    """Serialize a JSON value; the standard library does what orjson refuses, and escapes what is not ASCII.

    Raises ValueError for a value that is no JSON, or is nested too deeply.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        try:
            return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from None
