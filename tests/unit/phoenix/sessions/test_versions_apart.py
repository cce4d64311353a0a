"""Client and server of LiveView of versions that do not fit: reported only with evidence of both, and of what breaks."""

import json
from typing import Any

import pytest

from livegate.phoenix.page_html import client_of_url
from livegate.phoenix.sessions.tracker import Tracker

TOPIC = "lv:phx-1"
LIST = {"s": ["<ul>", "</ul>"], "0": {"s": ["<li>", "</li>"], "k": {"0": {"0": "a"}, "1": {"0": "b"}, "kc": 2}}}
CLIENT_1_2 = "/live/websocket?_csrf_token=c&_mounts=0&_mount_attempts=0&vsn=2.0.0"
CLIENT_1_1 = "/live/websocket?_csrf_token=c&_mounts=0&_mount_attempts=0&_live_referer=undefined&vsn=2.0.0"
NATIVE = "/live/websocket?vsn=2.0.0"
MOVES = {"0": {"k": {"0": 1, "1": 0, "kc": 2}}}
MARKED = {"0": {"k": {"0": 1, "1": 0, "kc": 2, "km": True}}}


def reported(url: str, version: str, diff: Any = None) -> list[tuple[str, str]]:
    channels = Tracker().open(url, 1.0)

    def send(*frame: Any, up: bool = False) -> None:
        channels.read_frame(json.dumps(frame).encode(), text=True, from_client=up, at=2.0)

    send("4", "4", TOPIC, "phx_join", {"url": "http://h/", "params": {"_mounts": 0, "_mount_attempts": 0}}, up=True)
    joined = {"rendered": LIST, "liveview_version": version}
    send("4", "4", TOPIC, "phx_reply", {"status": "ok", "response": joined})
    for _ in range(2):
        if diff is not None:
            send("4", None, TOPIC, "diff", diff)
    assert channels.session is not None
    return [(incident.slug, incident.why) for incident in channels.session.incidents]


@pytest.mark.parametrize(
    ("url", "client"),
    [(CLIENT_1_2, "1.2"), (CLIENT_1_1, "1.0"), (NATIVE, ""), ("/live/websocket?vsn=2.0.0&_mounts=0", "")],
)
def test_the_generation_of_a_client_by_the_parameters_of_its_socket(url: str, client: str) -> None:
    assert client_of_url(url) == client


def test_moves_without_their_mark_break_the_renderer_of_a_later_client() -> None:
    ((slug, why),) = reported(CLIENT_1_2, "1.1.33", MOVES)
    assert slug == "versions-apart"
    assert why == (
        "The page's JavaScript is LiveView 1.2 or later, and the server (LiveView 1.1.33) has moved entries of a list "
        "without the mark `km`. From 1.2.8 on the client cannot render that."
    )


def test_lists_of_a_server_of_1_0_are_not_read_by_a_later_client() -> None:
    ((slug, why),) = reported(CLIENT_1_2, "1.0.18")
    assert slug == "versions-apart"
    assert why.endswith("and shows `undefined` instead.")


@pytest.mark.parametrize(
    ("url", "version", "diff"),
    [
        (CLIENT_1_2, "1.2.10", MARKED),
        (CLIENT_1_2, "1.1.33", None),
        (CLIENT_1_2, "1.1.33", {"0": {"k": {"0": {"0": "c"}, "kc": 2}}}),
        (CLIENT_1_1, "1.1.33", MOVES),
        (CLIENT_1_1, "1.0.18", None),
        (NATIVE, "1.1.33", MOVES),
        (NATIVE, "1.0.18", None),
    ],
)
def test_without_evidence_of_a_break_nothing_is_reported(url: str, version: str, diff: Any) -> None:
    assert reported(url, version, diff) == []
