"""The table of values by host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.settings import HostTable

LABEL = st.sampled_from(["a", "b", "c", "x-1"])


NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


def naive(names: list[str], host: str) -> str | None:
    host = host.lower().removesuffix(".")
    if host in names:
        return host
    fitting = [name for name in names if name.startswith("*.") and host.endswith(name[1:]) and host != name[1:]]
    longest = max(fitting, key=len, default=None)
    return longest or ("default" if "default" in names else None)


@given(st.lists(NAME | NAME.map("*.{}".format) | st.just("default"), unique=True, max_size=8), NAME)
def test_a_match_is_what_a_naive_search_finds(names: list[str], host: str) -> None:
    assert HostTable({name: name for name in names}).match(host) == naive(names, host)


@pytest.mark.parametrize(
    "host", ["", ".", "..", ".a", ".preview.test", "evilpreview.test", "preview.test", "a" * 10_000]
)
def test_a_wildcard_matches_nothing_but_names_below_it(host: str) -> None:
    assert HostTable({"*.preview.test": 1}).match(host) is None


def test_an_exact_name_wins_over_the_longest_wildcard_and_that_over_the_default() -> None:
    table = HostTable({name: name for name in ("a.test", "*.test", "*.b.test", "default")})
    hosts = ("A.test.", "x.test", "x.b.test", "other", "")
    assert [table.match(host) for host in hosts] == ["a.test", "*.test", "*.b.test", "default", "default"]
    assert list(table) == ["a.test", "*.test", "*.b.test", "default"]
