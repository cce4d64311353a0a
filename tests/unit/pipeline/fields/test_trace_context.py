"""traceparent and tracestate by W3C Trace Context; sampling by trace."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.pipeline.fields.trace_context import (
    Sampler,
    SpanContext,
    is_sampled,
    new_traceparent,
    read_traceparent,
    read_tracestate,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
HEX = "0123456789abcdef"


def hexes(size: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=size, max_size=size)


@given(hexes(32).filter(lambda text: text.strip("0")), hexes(16).filter(lambda text: text.strip("0")), hexes(2))
def test_a_well_formed_traceparent_is_read_and_written(trace: str, span: str, flags: str) -> None:
    found = read_traceparent([f"00-{trace}-{span}-{flags}"])
    assert found == SpanContext(trace, span, int(flags, 16))
    assert found.sampled == (int(flags, 16) % 2 == 1)
    again = read_traceparent([found.traceparent])
    assert again is not None
    assert (again.trace_id, again.span_id, again.sampled) == (trace, span, found.sampled)


@given(
    st.text()
    | st.text(f"{HEX}-", max_size=60)
    | st.from_regex(r"\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.?\Z")
)
def test_only_well_formed_text_is_read(text: str) -> None:
    found = read_traceparent([text])
    if found is None:
        return
    assert text[2::1][:1] == "-"
    assert text[:2] != "ff"
    assert set(found.trace_id) <= set(HEX)
    assert (len(found.trace_id), len(found.span_id)) == (32, 16)
    assert int(found.trace_id, 16)
    assert int(found.span_id, 16)


@pytest.mark.parametrize(
    "text",
    [
        "", "00", GOOD.upper(), f" {GOOD}", f"{GOOD} ", f"{GOOD}\n", f"{GOOD}-", f"{GOOD}-more", f"ff{GOOD[2:]}", f"0{GOOD}", GOOD[:-1], f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"00_{TRACE}_{SPAN}_01", f"01{GOOD[2:]}x", f"00-{TRACE[:-1]}-{SPAN}-01", f"00-{TRACE}-{SPAN}-0g", f"{GOOD[:-2]}٠١",
    ],
)  # fmt: skip
def test_a_malformed_traceparent_is_ignored(text: str) -> None:
    assert read_traceparent([text]) is None


def test_two_fields_are_ignored_and_a_newer_version_may_have_more_parts() -> None:
    assert read_traceparent([]) is None
    assert read_traceparent([GOOD, GOOD]) is None
    assert (
        read_traceparent([f"cc{GOOD[2:]}"])
        == read_traceparent([f"01{GOOD[2:]}-what-comes"])
        == SpanContext(TRACE, SPAN, 1)
    )


@pytest.mark.parametrize(
    ("given_fields", "expected"),
    [
        ([], ""),
        (["a=1"], "a=1"),
        (["a=1,b=2", "c=3"], "a=1,b=2,c=3"),
        ([" a=1 ,\t,b=2\t,"], "a=1,b=2"),
        (["t1@v=x y", "0a/b*c-d_e=<>!"], "t1@v=x y,0a/b*c-d_e=<>!"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a="], ""),
        (["a"], ""),
        (["a=b=c"], ""),
        (["a=\x7f"], ""),
        (["a=é"], ""),
        ([",".join(f"k{n}=1" for n in range(32))], ",".join(f"k{n}=1" for n in range(32))),
        ([",".join(f"k{n}=1" for n in range(33))], ""),
        ([f"{'k' * 256}={'v' * 256}"], f"{'k' * 256}={'v' * 256}"),
        ([f"{'k' * 257}=v"], ""),
        ([f"k={'v' * 257}"], ""),
    ],
)
def test_a_well_formed_tracestate_is_passed_on(given_fields: list[str], expected: str) -> None:
    assert read_tracestate(given_fields) == expected


@given(st.lists(st.text(), max_size=5))
def test_no_tracestate_makes_it_raise(given_fields: list[str]) -> None:
    found = read_tracestate(given_fields)
    assert read_tracestate([found]) == found


@given(hexes(32), st.floats(0, 1))
def test_sampling_is_that_of_opentelemetry(trace: str, ratio: float) -> None:
    from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

    theirs = TraceIdRatioBased(ratio).should_sample(None, int(trace, 16), "x").decision is Decision.RECORD_AND_SAMPLE
    assert is_sampled(trace, ratio) == theirs


def test_a_new_traceparent_is_well_formed_unique_and_not_sampled() -> None:
    one, other = read_traceparent([new_traceparent()]), read_traceparent([new_traceparent()])
    assert one is not None
    assert not one.sampled
    assert one != other


def sampler(ratio: float) -> Sampler:
    counting = itertools.count(1)
    return Sampler(ratio, lambda size: f"{next(counting):0{2 * size}x}")


def test_a_request_without_a_good_traceparent_begins_a_trace() -> None:
    for parents in ([], ["nonsense"], [GOOD, GOOD]):
        request = sampler(1).request(parents, ["a=1"], trusted=True)
        assert (request.parent, request.tracestate, request.recorded) == (None, "", True)
        assert request.context.trace_id not in (TRACE, "0" * 32)
        assert request.context.traceparent.endswith("-01")


def test_only_a_trusted_clients_sampled_flag_counts() -> None:
    none, all_ = sampler(0), sampler(1)
    sampled, unsampled = [GOOD], [f"{GOOD[:-2]}00"]
    assert none.request(sampled, [], trusted=True).recorded
    assert not all_.request(unsampled, [], trusted=True).recorded
    assert not none.request(sampled, [], trusted=False).recorded
    assert all_.request(unsampled, ["a=1"], trusted=False).recorded
    request = all_.request([f"{GOOD[:-2]}03"], ["a=1"], trusted=False)
    assert (request.context.trace_id, request.parent, request.tracestate) == (TRACE, SpanContext(TRACE, SPAN, 3), "a=1")
    assert request.context.traceparent.endswith("-03"), "the random flag is kept"
    assert request.context.span_id != SPAN


def test_an_untrusted_client_cannot_choose_a_trace_that_is_always_recorded() -> None:
    lowest = f"00-{'1' * 16}{'0' * 16}-{SPAN}-01"
    recorded = [Sampler(0.5).request([lowest], [], trusted=False).recorded for _ in range(200)]
    assert 0 < sum(recorded) < 200
    one = Sampler(0.5)
    assert len({one.request([lowest], [], trusted=False).recorded for _ in range(20)}) == 1, (
        "the same for all of a trace"
    )
