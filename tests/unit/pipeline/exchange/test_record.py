"""Bounded copies of streamed bodies."""

from livegate.pipeline.exchange.record import MAX_COPY_BYTES, BoundedCopy


def test_a_copy_of_a_streamed_body_is_kept_while_it_is_short() -> None:
    copy = BoundedCopy(10)
    assert copy(b"12345") == b"12345"
    assert copy.content == b"12345"
    assert copy(b"678901") == b"678901"
    assert copy(b"2") == b"2"
    assert (copy.size, copy.content) == (12, None)
    assert BoundedCopy(1 << 30)._bound == MAX_COPY_BYTES
