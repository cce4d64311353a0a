"""Secrets go, wherever they are; what is none stays as it is, to the same object."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.redaction import redactor as redactor_module
from livegate.redaction.http import HttpRedactor
from livegate.redaction.redactor import SECRET_FIELDS, RedactionRules, Redactor

CANARY = "CANARYcanary0123456789"
TOKEN = f"SFMyNTY.{CANARY}.{CANARY}"
JWT = f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.{CANARY}"


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


@pytest.mark.parametrize(
    "name",
    ["password", "user[password]", "user[current_password]", "userPassword", "PASSWORD", "card_number", "x-api-key", "apiKey", "API_KEY",
     "_csrf_token", "access_token", "client-secret", "user%5Bpassword%5D", "user%5Bp%61ssword%5D", "creditCard", "a.b.pin"],
)  # fmt: skip
def test_a_secrets_name(redactor: Redactor, name: str) -> None:
    assert redactor.is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["tokenizer", "pinned", "spinner", "discard", "cardinal", "name", "value", "key", "passive", "", "api", "ref"],
)
def test_no_secrets_name(redactor: Redactor, name: str) -> None:
    assert not redactor.is_secret(name)


def test_equal_secrets_look_equal_and_others_do_not(redactor: Redactor) -> None:
    assert redactor.placeholder("abc") == redactor.placeholder("abc") != redactor.placeholder("abd")
    assert redactor.placeholder("abc").startswith("⟪redacted-3-chars-")
    assert Redactor().placeholder("abc") != redactor.placeholder("abc"), "the key is another in every process"
    assert redactor.placeholder("") == ""
    assert redactor.placeholder(redactor.placeholder("abc")) == redactor.placeholder("abc")


@pytest.mark.parametrize("before", ["", "to ", "join CountLive ", '"'])
@pytest.mark.parametrize("after", ["", " at once", "/edit", "?x=1", '"'])
def test_what_is_long_and_random_in_a_path_goes_from_a_sentence_too(
    redactor: Redactor, before: str, after: str
) -> None:
    text = redactor.text(f"{before}/reset/{CANARY}{CANARY}{after}")
    assert CANARY not in text
    assert text.startswith(f"{before}/reset/⟪redacted-44-chars-") and text.endswith(after)


FRAMES = [
    ["4", "4", "lv:x", "phx_join", {"url": f"http://h/p?code={CANARY}&x=1", "params": {"_csrf_token": CANARY}, "session": TOKEN, "static": TOKEN}],
    ["4", "5", "lv:x", "event", {"type": "form", "event": "save", "value": f"user%5Bpassword%5D={CANARY}&name=zed"}],
    ["4", "5", "lv:x", "event", {"type": "form", "event": "save", "value": f"password={CANARY}"}],
    ["4", "6", "lv:x", "event", {"value": {"deep": [{"credit_card": {"number": CANARY, "n": 7}}]}}],
    ["4", "7", "lv:x", "phx_reply", {"response": {"diff": {"0": f'<div data-x="{TOKEN}">', "1": f"see {JWT} now"}}}],
    ["4", "8", "lv:x", "phx_reply", {"response": {"redirect": {"to": f"/login?token={CANARY}", "flash": TOKEN}}}],
    [None, None, "room:a", "x", {"text": f"Bearer {CANARY} and Basic {CANARY}"}],
    [None, None, "room:a", "x", {"url": f"https://user:{CANARY}@h/users/reset/{CANARY * 2}"}],
    [None, None, "room:a", "x", {b"pass\\u0077ord".decode("unicode_escape"): CANARY}],
    ["4", "4", "lv:x", "phx_join", {"session": f"{CANARY}.pyview.style"}],
]  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: str(frame[3]))
def test_frames_lose_their_secrets_and_keep_their_shape(redactor: Redactor, frame: list[object]) -> None:
    data = json.dumps(frame).encode()
    found = redactor.frame(data)
    assert CANARY.encode() not in found
    assert isinstance(json.loads(found), list)
    assert json.loads(found)[:3] == frame[:3]
    assert redactor.frame(found) == found, "once is enough"
    raw = json.dumps(frame, ensure_ascii=True).replace("password", "p\\u0061ssword").encode()
    assert CANARY.encode() not in redactor.frame(raw), "hidden by escapes"


def test_what_holds_no_secret_is_the_same_object(redactor: Redactor) -> None:
    data = b'["4","12","lv:phx-1","event",{"type":"click","event":"inc","value":{"amount":"1"}}]'
    assert redactor.frame(data) is data
    value = {"a": ["b", {"url": "http://h/p?page=2#top", "form": "name=zed&n=1", "n": None, "t": True}]}
    assert redactor.json(value) is value
    assert redactor.frame(b"\xff not json") == b"\xff not json"


def test_redaction_can_be_switched_off_and_given_more_names(redactor: Redactor) -> None:
    assert redactor.json({"shoesize": "42"}) == {"shoesize": "42"}
    redactor.set_rules(RedactionRules(SECRET_FIELDS | {"shoesize"}))
    assert "42" not in str(redactor.json({"shoe_size": "42"})["shoe_size"])[:11]
    redactor.enabled = False
    assert redactor.json({"password": "x"}) == {"password": "x"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://h/a?token=X&page=2", "https://h/a?token=⟪&page=2"),
        ("/a?page=2", "/a?page=2"),
        ("//u:X@h", "//u:⟪@h"),
        ("/a#access_token=X", "/a#access_token=⟪"),
        ("http://[bad", "http://[bad"),
        ("/a?next=%2Flogin%3Ftoken%3DX", "/a?next=/login%3Ftoken%3D⟪"),
        ("/a?flag&code=X", "/a?flag&code=⟪"),
    ],
)
def test_urls(redactor: Redactor, text: str, found: str) -> None:
    import re

    assert re.sub("⟪[^⟫]*⟫", "⟪", redactor.url(text)) == found


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Cookie", f"_demo_key={CANARY}; theme=dark", "_demo_key="),
        ("Set-Cookie", f"_demo_key={CANARY}; Path=/; HttpOnly", "; Path=/; HttpOnly"),
        ("Authorization", f"Bearer {CANARY}", "Bearer "),
        ("Authorization", CANARY, ""),
        ("Proxy-Authorization", f"Basic {CANARY}", "Basic "),
        ("X-Api-Key", CANARY, ""),
        ("X-CSRF-Token", CANARY, ""),
        ("X-Phoenix-AuthToken", CANARY, ""),
        ("Sec-WebSocket-Protocol", f"phoenix, base64url.bearer.phx.{CANARY}", "phoenix, base64url.bearer.phx."),
        ("Location", f"/x?token={CANARY}", "/x?token="),
        ("Referer", f"http://h/reset/{CANARY * 2}", "http://h/reset/"),
        ("X-Other", f"token={CANARY}", "token="),
    ],
)
def test_header_fields(redactor: Redactor, name: str, value: str, kept: str) -> None:
    found = HttpRedactor(redactor).header(name, value)
    assert CANARY not in found
    assert kept in found


def test_harmless_header_fields_stay(redactor: Redactor) -> None:
    http = HttpRedactor(redactor)
    for name, value in (
        ("Accept", "text/html"),
        ("Host", "app.test"),
        ("Content-Type", "a/b; boundary=x"),
        ("ETag", '"abc"'),
    ):
        assert http.header(name, value) == value


MULTIPART = (
    f'--b\r\nContent-Disposition: form-data; name="user[password]"\r\n\r\n{CANARY}\r\n'
    f'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\ntoken={CANARY}\r\n'
    '--b\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\n\r\n\0\1\r\n--b--\r\n'
).encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (f'{{"a":{{"password":"{CANARY}"}}}}'.encode(), "application/json"),
        (f'{{"password":"{CANARY}"}}\n{{"x":1}}'.encode(), "application/x-ndjson"),
        (f"user%5Bpassword%5D={CANARY}&a=b".encode(), "application/x-www-form-urlencoded; charset=utf-8"),
        (MULTIPART, "multipart/form-data; boundary=b"),
        (MULTIPART, "multipart/form-data"),
        (f'<meta name="csrf-token" content="{CANARY}">'.encode(), "text/html"),
        (f'<meta content="{CANARY}" name="csrf-token">'.encode(), "text/html"),
        (
            f'<input type="hidden" name="_csrf_token" value="{CANARY}"><input name="a" value="b">'.encode(),
            "text/html; charset=utf-8",
        ),
        (f'<div data-phx-session="{CANARY}" data-phx-static="{CANARY}">'.encode(), "text/html"),
        (f"window.token = '{CANARY}'; var x = \"y\"".encode(), "text/javascript"),
        (f"note: {TOKEN}".encode(), None),
        (f"password={CANARY}".encode() * 600_000, "text/plain"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bodies(redactor: Redactor, body: bytes, kind: str | None) -> None:
    http = HttpRedactor(redactor)
    found = http.body(body, kind)
    assert CANARY.encode() not in found
    assert http.body(found, kind) == found


def test_binary_and_harmless_bodies_stay(redactor: Redactor) -> None:
    http = HttpRedactor(redactor)
    for body, kind in (
        (b"\x89PNG" + CANARY.encode(), "image/png"),
        (b'{"a":1}', "application/json"),
        (b"<p>hi</p>", "text/html"),
    ):
        assert http.body(body, kind) == body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=6), part, max_size=3), max_leaves=12
)  # fmt: skip


@given(
    json_values,
    st.lists(st.text(max_size=5) | st.integers(0, 3), max_size=4),
    st.sampled_from(["password", "user[token]", "apiKey"]),
)
def test_a_secret_is_found_at_any_depth(value: object, way: list[object], name: str) -> None:
    planted: object = {name: [CANARY, {"x": CANARY}], "other": value}
    for step in way:
        planted = {step: planted} if isinstance(step, str) else [value, planted]
    redactor = Redactor()
    assert CANARY not in json.dumps(redactor.json(planted))
    assert CANARY.encode() not in redactor.frame(json.dumps(planted).encode())


@pytest.mark.parametrize(
    "text",
    ["=" * 1_000_000, "a=" * 500_000, '"' * 1_000_000, "<input " * 150_000, "/" * 1_000_000 + "?", "eyJ" * 300_000, "password" * 100_000,
     "[" * 1_000_000, "%25" * 300_000, "http://" * 150_000, "SFMyNTY." * 100_000, '<meta name="csrf-token" ' * 40_000, "A1" * 400_000],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_hostile_input_takes_no_time_and_raises_nothing(redactor: Redactor, text: str) -> None:
    began = time.process_time()
    redactor.frame(text.encode())
    redactor.string(text)
    HttpRedactor(redactor).body(text.encode(), "text/html")
    HttpRedactor(redactor).header("Cookie", text)
    assert time.process_time() - began < 20


def test_what_is_nested_too_deeply_is_not_shown(redactor: Redactor) -> None:
    deep: object = {"password": CANARY}
    for _ in range(300):
        deep = {"a": [deep]}
    assert CANARY not in json.dumps(redactor.json(deep))
    secret: object = CANARY
    for _ in range(300):
        secret = [secret]
    assert CANARY not in json.dumps(redactor.json({"password": secret}))
    assert redactor.json({"password": {"a": None, "b": True, "c": 7}})["password"]["a"] is None


def test_cached_results_are_discarded_with_the_rules() -> None:
    redactor = Redactor()
    text = "shoesize=forty-two"
    assert redactor.text(text) == redactor.text(text) == text
    redactor.set_rules(RedactionRules(fields=SECRET_FIELDS | {"shoesize"}))
    assert "forty-two" not in redactor.text(text)


def test_the_cache_of_texts_without_secrets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redactor_module, "MAX_KNOWN_CLEAN", 3)
    redactor = Redactor()
    for number in range(10):
        assert redactor.has_no_secrets(f"text {number}")
        assert len(redactor._known_clean) <= 3
    assert redactor.has_no_secrets("x" * (redactor_module.MAX_KNOWN_CLEAN_CHARACTERS + 1))
    assert all(len(each) <= redactor_module.MAX_KNOWN_CLEAN_CHARACTERS for each in redactor._known_clean)
