"""JSON is written for every value that a client or backend can send."""

import json

import pytest

from livegate.lenient_json import json_bytes


@pytest.mark.parametrize("value", [{"a": [1, None, "é"]}, "\ud800", 2**80, [{"\udfff": 2**64}]])
def test_a_json_value_is_written_so_that_it_reads_as_the_same(value: object) -> None:
    assert json.loads(json_bytes(value)) == value


def test_what_is_no_json_is_a_value_error() -> None:
    nested: object = None
    for _ in range(100_000):
        nested = [nested]
    for value in (object(), {1, 2}, nested):
        with pytest.raises(ValueError, match="no JSON"):
            json_bytes(value)
