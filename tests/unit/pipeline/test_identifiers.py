"""Identifiers are random digits that are handed out once."""

import re

from livegate.pipeline.exchange.record import new_request_id
from livegate.pipeline.identifiers import RandomHex


def test_no_digit_is_handed_out_twice() -> None:
    random_hex = RandomHex()
    found = [random_hex(size) for size in (16, 8, 4096, 1, 16) for _ in range(300)]
    assert {len(one) for one in found} == {32, 16, 8192, 2}
    long = [one for one in found if len(one) > 2]
    assert len(set(long)) == len(long)


def test_a_request_id_is_32_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{32}", new_request_id())
    assert new_request_id() != new_request_id()
