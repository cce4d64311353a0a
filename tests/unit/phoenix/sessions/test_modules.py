"""How the module of a view is known: by its own token, else by host and route, else by its statics."""

import json
from typing import Any

import pytest

from livegate.phoenix.sessions.modules import MAX_NODES, MAX_REMEMBERED, ModuleIndex, route_of, statics_key
from livegate.phoenix.sessions.tracker import Tracker

LONG = ["<main class='a page of the shop, long enough'>", "</main>"]


def test_a_module_is_known_by_host_and_path() -> None:
    modules = ModuleIndex()
    modules.remember_module("shop.test", "/", "Shop.CartLive")
    assert modules.module_for_path("shop.test", "/") == "Shop.CartLive"
    assert modules.module_for_path("admin.test", "/") is None
    assert modules.module_for_path("shop.test", None) is None
    modules.remember_module("shop.test", None, "Shop.Nowhere")


def test_another_page_of_the_route_has_the_same_module() -> None:
    modules = ModuleIndex()
    modules.remember_module("shop.test", "/users/3", "Shop.UserLive")
    assert modules.module_for_path("shop.test", "/users/17") == "Shop.UserLive"
    assert modules.module_for_path("shop.test", "/users/new") is None
    modules.remember_module("shop.test", "/users/4", "Shop.OtherLive")
    assert modules.module_for_path("shop.test", "/users/17") is None, "the route alone does not tell them apart"
    assert modules.module_for_path("shop.test", "/users/3") == "Shop.UserLive"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/users/17/edit", "/users/:id/edit"),
        ("/o/6f1c1a52-9a0e-4d55-8a39-3f2b8d1f0a11", "/o/:id"),
        ("/o/GOwbhlya_bpRQwai0123456789", "/o/:id"),
        ("/a-page-with-a-long-readable-name", "/a-page-with-a-long-readable-name"),
        ("/", "/"),
    ],
)
def test_the_route_of_a_path(path: str, route: str) -> None:
    assert route_of(path) == route


def test_statics_name_a_module_until_another_has_the_same() -> None:
    modules, root = ModuleIndex(), {"s": LONG, "0": {"s": ["<b>", "</b>"], "0": "x"}}
    assert modules.module_for_statics(root) is None
    modules.remember_statics(root, "Shop.CartLive")
    assert modules.module_for_statics({"s": LONG, "0": {"s": ["<b>", "</b>"], "0": "another value"}}) == "Shop.CartLive"
    assert modules.module_for_statics({"s": LONG, "0": "no branch"}) is None
    modules.remember_statics(root, "Shop.MenuLive")
    assert modules.module_for_statics(root) is None


def test_little_text_or_too_many_nodes_name_nothing() -> None:
    assert statics_key({"s": ["", ""], "0": "x"}) is None
    assert statics_key({str(number): {"s": LONG} for number in range(MAX_NODES + 1)}) is None
    entries = {"s": LONG, "k": {"0": {"0": "a"}, "kc": 1}}
    assert statics_key(entries) == statics_key({"s": LONG, "k": {"kc": 0}}), "entries come and go"


def test_the_index_of_modules_is_bounded() -> None:
    modules = ModuleIndex()
    for number in range(MAX_REMEMBERED + 1):
        modules.remember_module("h", f"/p{number}x", "M")
    assert modules.module_for_path("h", "/p0x") is None
    assert modules.module_for_path("h", f"/p{MAX_REMEMBERED}x") == "M"


def test_a_view_that_was_navigated_to_is_named_by_its_statics_wherever_it_turns_up(monkeypatch: Any) -> None:
    tracker = Tracker()
    rendered = {"s": LONG, "0": "x"}

    def joined(path: str, host: str, how: str, token: str) -> str:
        monkeypatch.setattr(
            "livegate.phoenix.sessions.socket.tokens.read_session", lambda _: _Read(token) if token else None
        )
        channels = tracker.open("/live/websocket?vsn=2.0.0", 1.0, host=host)
        topic = f"lv:phx-{host}{path}"
        join = ["4", "4", topic, "phx_join", {how: f"http://{host}{path}", "params": {"_mounts": 0}, "session": "t"}]
        channels.read_frame(json.dumps(join).encode(), text=True, from_client=True, at=1.0)
        reply = ["4", "4", topic, "phx_reply", {"status": "ok", "response": {"rendered": rendered}}]
        info = channels.read_frame(json.dumps(reply).encode(), text=True, from_client=False, at=1.1)
        assert info.view is not None
        return info.view.label

    assert joined("/", "shop.test", "url", "Shop.CartLive") == "CartLive"
    assert joined("/elsewhere", "other.test", "redirect", "") == "CartLive"
    rendered = {"s": ["<p>something else that is long enough</p>"]}
    assert joined("/", "admin.test", "redirect", "") == "/", "its own host has never loaded it"


class _Read:
    def __init__(self, view: str) -> None:
        self.view = view
