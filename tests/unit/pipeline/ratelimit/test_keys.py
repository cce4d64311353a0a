"""Keys of users and addresses."""

import pytest

from livegate.pipeline.ratelimit.keys import hash_key, session_cookie, user_key


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ([], None),
        (["a=1; _app_key=x; b_session=y"], "_app_key=x"),
        (["a=1", "my_session=y"], "my_session=y"),
        (["_csrf=1; key=2; session=3"], None),
        (["_app_key="], None),
        (["x=" + "a" * 20_000 + "; my_session=y"], None),
    ],
)
def test_the_session_cookie_is_recognized_by_its_name(cookies: list[str], expected: str | None) -> None:
    assert session_cookie(cookies) == expected


def test_keys_of_different_kinds_differ_and_reveal_nothing() -> None:
    same = "secret"
    keys = {
        user_key(user_id=same, authorization=same, cookies=[], address=same),
        user_key(user_id=None, authorization=same, cookies=[f"_app_key={same}"], address=same),
        user_key(user_id=None, authorization=None, cookies=[f"_app_key={same}"], address=same),
        user_key(user_id=None, authorization=None, cookies=[], address=same),
    }
    assert len(keys) == 4
    assert not any(same in key for key in keys)
    assert hash_key("k", "\udcff")


@pytest.mark.parametrize(
    ("given_values", "same_as"),
    [
        ({"user_id": "7", "authorization": "a"}, {"user_id": "7"}),
        ({"authorization": "a", "cookies": ["_app_key=x"]}, {"authorization": "a"}),
        ({"cookies": ["theme=dark; _app_key=x"], "address": "::/64"}, {"cookies": ["_app_key=x; theme=light"]}),
        ({"cookies": ["theme=dark"]}, {"cookies": ["theme=light"]}),
    ],
)
def test_a_user_key_comes_of_id_authorization_session_or_address_in_that_order(given_values, same_as) -> None:
    nobody = {"user_id": None, "authorization": None, "cookies": [], "address": "192.0.2.1"}
    assert user_key(**{**nobody, **given_values}) == user_key(**{**nobody, **same_as})


def test_a_million_cookies_cost_no_more_than_their_first_16_thousand_characters() -> None:
    assert session_cookie(["a=b;" * 1_000_000 + "my_session=x"]) is None
    assert session_cookie(["a=b"] * 3000 + ["my_session=x"]) == "my_session=x"
