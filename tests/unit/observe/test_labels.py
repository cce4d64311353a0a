"""Labels come from bounded sets, whatever a client sends."""

import pytest

from livegate.observe.metrics.labels import (
    OTHER,
    LabelSets,
    close_label,
    event_label,
    method_label,
    reason_label,
    status_label,
    view_label,
)


def test_methods_statuses_and_reasons() -> None:
    assert [method_label(each) for each in ("GET", "PATCH", "get", "CANARY", "")] == ["GET", "PATCH", *["other"] * 3]
    assert [status_label(each) for each in (100, 404, 599, 0, 99, 600, -1)] == ["100", "404", "599", *["0"] * 4]
    assert [reason_label(each) for each in ("rate-limit-ip", "", "Host: x", "a" * 41)] == [
        "rate-limit-ip",
        *[OTHER] * 3,
    ]


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (None, "1006"),
        (1000, "1000"),
        (1015, "1015"),
        (3000, "3xxx"),
        (3999, "3xxx"),
        (4000, "4xxx"),
        (4999, "4xxx"),
        (999, OTHER),
        (1016, OTHER),
        (2999, OTHER),
        (5000, OTHER),
        (65535, OTHER),
        (0, OTHER),
    ],
)
def test_close_codes(code: int | None, label: str) -> None:
    assert close_label(code) == label


def test_views_and_events_are_told_only_when_they_look_like_names() -> None:
    assert view_label("DemoWeb.CountLive") == "DemoWeb.CountLive"
    assert [view_label(each) for each in (None, "", "/orders/17", "demo", "A b", "A." * 40 + "A")] == [OTHER] * 6
    assert event_label("event", "validate-order") == "validate-order"
    assert [event_label("event", each) for each in ("", "/x", "10.0.0.1", "a b", "a\nb", "a" * 65)] == [OTHER] * 6
    assert [event_label(kind, "/orders/17?token=x") for kind in ("patch", "join")] == ["_patch", "_join"]


@pytest.mark.parametrize("name", ["größe-ändern", "日本語", "हटाएँ", "удалить", "é", "e\u0301", "_größe", "ä" * 64])
def test_an_event_may_have_a_name_in_any_language(name: str) -> None:
    assert event_label("event", name) == name


@pytest.mark.parametrize(
    "name",
    [
        "ä b",
        "ä\u00a0b",
        "ä\u200bb",
        "ä\u202eb",
        "ä\x7f",
        "ä\x85b",
        "ä\0",
        "ä\ud800",
        "\udfff",
        "\u0301e",
        "١٢",
        "ä" * 65,
    ],
)
def test_blanks_controls_invisible_characters_and_surrogates_are_in_no_name(name: str) -> None:
    assert event_label("event", name) == OTHER


@pytest.mark.parametrize("name", ["tok:SFMyNTY.g2gDaAJhBnQ", "eyJhbGciOiJI.eyJzdWIi"])
def test_a_token_is_no_name(name: str) -> None:
    assert event_label("event", name) == "_other"


def test_past_the_limit_new_combinations_are_counted_together() -> None:
    sets = LabelSets(3, per_view=2)
    assert sets.bounded("a", "V", "one", may_grow=True) == ("a", "V", "one")
    assert sets.bounded("a", "V", "two", may_grow=True) == ("a", "V", "two")
    assert sets.bounded("a", "V", "three", may_grow=True) == ("a", "V", OTHER)  # the view has no more room
    assert sets.bounded("b", "W", "one", may_grow=True) == ("b", "W", "one")
    assert sets.bounded("b", "W", "two", may_grow=True) == ("b", "W", OTHER)  # there is no more room at all
    assert sets.bounded("b", "X", "one", may_grow=True) == ("b", OTHER, OTHER)
    assert sets.bounded("a", "V", "two", may_grow=False) == ("a", "V", "two")


def test_what_no_backend_has_confirmed_takes_no_room() -> None:
    sets = LabelSets(10, per_view=10)
    for number in range(100_000):
        assert sets.bounded("a", f"V{number}", f"e{number}", may_grow=False) == ("a", OTHER, OTHER)
    assert len(sets) == 0
    assert not sets._events


def test_the_room_of_a_route_that_is_gone_is_free_again() -> None:
    sets = LabelSets(1, per_view=1)
    assert sets.bounded("a", "V", "one", may_grow=True) == ("a", "V", "one")
    sets.keep_routes({"b"})
    assert sets.bounded("b", "V", "one", may_grow=True) == ("b", "V", "one")
    assert sets.bounded("a", "V", "one", may_grow=True) == ("a", OTHER, OTHER)
