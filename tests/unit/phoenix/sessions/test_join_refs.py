"""Which join a frame is of, and what becomes of one that is of an earlier join; which pushes are ever answered."""

from typing import Any

import pytest

from unit.phoenix.sessions.test_socket import RENDERED, TOPIC, Tab


def navigated() -> Tab:
    """From /count (join_ref 4) to /feed (14), whose join is answered; the old view's end is still to come."""
    tab = Tab()
    tab.join(params={"_mounts": 0})
    tab.up("4", "13", TOPIC, "phx_leave", {})
    tab.up("14", "14", TOPIC, "phx_join", {"redirect": "http://h/feed", "params": {"_mounts": 0}})
    tab.reply("14", "14", {"rendered": RENDERED})
    return tab


def html(tab: Tab) -> str:
    main = tab.session.main
    assert main is not None
    assert main.tree is not None
    return main.tree.html()


def test_the_late_end_of_the_view_before_is_not_that_of_the_view_that_is_there() -> None:
    tab = navigated()
    assert tab.down("4", "4", TOPIC, "phx_close", {}).summary == "/count closed (an earlier join)"
    main = tab.session.main
    assert main is not None
    assert (main.path, main.state) == ("/feed", "up")


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("diff", {"0": "wrong"}),
        ("phx_error", {"reason": "channel_crash"}),
        ("live_patch", {"kind": "push", "to": "/x"}),
    ],
)
def test_what_the_client_drops_changes_nothing_and_is_shown_as_dropped(event: str, payload: Any) -> None:
    tab = navigated()
    info = tab.down("4", None, TOPIC, event, payload)
    assert (info.kind, info.summary) == (
        "outdated",
        f'"{event}" of an earlier join of /count (join_ref 4): the client drops it',
    )
    assert html(tab) == "<p>0</p>"
    assert (tab.session.state, tab.session.crashes, tab.session.pushed_diffs) == ("live", 0, 0)
    assert tab.session.main is not None
    assert tab.session.main.path == "/feed"


def test_a_late_reply_to_the_previous_view_does_not_change_the_page() -> None:
    tab = Tab()
    tab.join(params={"_mounts": 0})
    tab.click("12")
    tab.up("4", "13", TOPIC, "phx_leave", {})
    tab.up("14", "14", TOPIC, "phx_join", {"redirect": "http://h/feed", "params": {"_mounts": 0}})
    tab.reply("14", "14", {"rendered": RENDERED})
    info = tab.reply("4", "12", {"diff": {"0": "wrong"}})
    assert info.summary.endswith("of an earlier join: the client drops it")
    assert html(tab) == "<p>0</p>"
    assert tab.reply("4", "99", {"diff": {"0": "wrong"}}).summary == (
        "reply of an earlier join of /count (join_ref 4): the client drops it"
    )


def test_the_reply_to_an_earlier_join_is_dropped() -> None:
    tab = Tab()
    for ref in ("4", "9"):
        tab.up(ref, ref, TOPIC, "phx_join", {"url": "http://h/count", "params": {"_mounts": 0}})
    late = tab.reply("4", "4", {"rendered": {"s": ["wrong"]}})
    assert late.summary.endswith("of an earlier join: the client drops it")
    tab.reply("9", "9", {"rendered": RENDERED})
    assert html(tab) == "<p>0</p>"
    refused = tab.reply("4", "4", {"reason": "stale"}, status="error")
    assert refused.kind == "outdated"
    assert tab.session.state == "live"


def test_a_refusal_of_an_earlier_join_is_not_one_of_the_view_that_is_there() -> None:
    tab = Tab()
    for ref in ("4", "9"):
        tab.up(ref, ref, TOPIC, "phx_join", {"url": "http://h/count", "params": {"_mounts": 0}})
    tab.reply("9", "9", {"rendered": RENDERED})
    tab.reply("4", "4", {"reason": "stale"}, status="error")
    assert (dict(tab.session.refusals), tab.session.state) == ({}, "live")


def test_what_the_client_sends_for_an_earlier_join_the_server_drops() -> None:
    tab = navigated()
    info = tab.up("4", "20", TOPIC, "event", {"type": "click", "event": "inc"})
    assert info.summary == '"event" of an earlier join of /count (join_ref 4): the server drops it'
    tab.channels.close(1001, "", "client", tab.now)
    assert tab.session.unanswered == 0
    assert tab.session.event_count == 0


def test_a_broadcast_names_no_join_and_is_for_the_view_that_is_there() -> None:
    tab = navigated()
    tab.down(None, None, TOPIC, "diff", {"0": "1"})
    assert html(tab) == "<p>1</p>"


def test_a_rejoin_by_the_clients_own_count_of_mounts() -> None:
    tab = navigated()
    again = tab.up("20", "20", TOPIC, "phx_join", {"redirect": "http://h/feed", "params": {"_mounts": 1}})
    assert again.summary == "rejoin /feed (#20)"
    new = tab.up("30", "30", TOPIC, "phx_join", {"redirect": "http://h/feed", "params": {"_mounts": 0}})
    assert new.summary == "join /feed (#30)", "navigated to the page where the tab is already"
    assert tab.session.rejoins == 1


def test_a_form_sent_again_after_a_rejoin_is_a_form_recovery() -> None:
    tab = Tab()
    tab.join(params={"_mounts": 0})
    form = {"type": "form", "event": "validate", "value": "name=x"}
    assert "recovered" not in tab.up("4", "5", TOPIC, "event", form).summary
    tab.down("4", "4", TOPIC, "phx_error", {})
    tab.join("20", params={"_mounts": 1})
    assert tab.up("20", "21", TOPIC, "event", form, after=0.02).summary == (
        'form "validate" on /count (#21), recovered after the rejoin'
    )
    assert "recovered" not in tab.up("20", "22", TOPIC, "event", form, after=5.0).summary
    assert "recovered" not in tab.up("20", "23", TOPIC, "event", {"type": "click", "event": "x"}).summary


# Which pushes are answered


def channel() -> Tab:
    tab = Tab()
    tab.up("3", "3", "room:a", "phx_join", {})
    tab.reply("3", "3", {}, topic="room:a")
    return tab


def test_pushes_of_a_channel_that_never_replies_are_not_unanswered() -> None:
    tab = channel()
    events = [tab.up("3", str(10 + number), "room:a", "shout", {}).push for number in range(5)]
    tab.channels.close(1001, "", "client", tab.now)
    assert {event.outcome for event in events if event is not None} == {"noreply"}
    assert tab.session.unanswered == 0


def test_a_push_of_a_kind_that_gets_replies_elsewhere_is_unanswered() -> None:
    tab = channel()
    tab.up("3", "10", "room:a", "save", {})
    tab.reply("3", "10", {}, topic="room:a")
    tab.up("3", "11", "room:a", "save", {})
    tab.up("3", "12", "room:a", "shout", {})
    tab.channels.close(1006, "", "server", tab.now)
    assert (tab.session.unanswered, tab.channels.info.unanswered) == (1, 1)


def test_a_push_before_one_with_a_reply_needs_none() -> None:
    tab = channel()
    shout = tab.up("3", "10", "room:a", "shout", {}).push
    tab.up("3", "11", "room:a", "save", {})
    tab.reply("3", "11", {}, topic="room:a")
    assert shout is not None
    assert shout.outcome == "noreply"
    assert tab.down("3", "3", "room:a", "phx_error", {}).summary == "CRASH of room:a"
    assert tab.session.unanswered == 0


def test_the_crash_of_a_channel_names_the_last_push_alone() -> None:
    tab = channel()
    tab.up("3", "10", "room:a", "shout", {})
    tab.up("3", "11", "room:a", "boom", {})
    assert tab.down("3", "3", "room:a", "phx_error", {}).summary == 'CRASH of room:a, "boom" without a reply'
    assert tab.session.unanswered == 1


def test_a_heartbeat_behind_a_join_is_no_round_trip_of_the_transport() -> None:
    tab = Tab()
    tab.up("4", "4", TOPIC, "phx_join", {"url": "http://h/count"})
    tab.up(None, "5", "phoenix", "heartbeat", {})
    tab.reply("4", "4", {"rendered": RENDERED}, after=0.9)
    tab.down(None, "5", "phoenix", "phx_reply", {"status": "ok", "response": {}}, after=0.001)
    assert not tab.session.heartbeats
    tab.up(None, "6", "phoenix", "heartbeat", {})
    tab.down(None, "6", "phoenix", "phx_reply", {"status": "ok", "response": {}}, after=0.004)
    assert list(tab.session.heartbeats) == [pytest.approx(0.004)]


# Sentences


@pytest.mark.parametrize(
    ("event", "payload", "sentence"),
    [
        ("presence_state", {"ann": {}, "bob": {}}, "2 present: ann, bob"),
        ("presence_state", {}, "0 present"),
        ("presence_diff", {"joins": {"ann": {}}, "leaves": {}}, "joined: ann"),
        ("presence_diff", {"joins": {}, "leaves": {"bob": {}}}, "left: bob"),
        ("presence_diff", {"joins": {"ann": {}}, "leaves": {"ann": {}, "bob": {}}}, "left: bob, updated: ann"),
        ("presence_diff", {"joins": 7}, "nobody came or went"),
        ("presence_state", {f"u{number}": {} for number in range(7)}, "7 present: u0, u1, u2, u3, u4, and 2 more"),
    ],
)
def test_presence_is_summarized_by_key(event: str, payload: Any, sentence: str) -> None:
    tab = channel()
    assert tab.down("3", None, "room:a", event, payload).summary == f'server pushes "{event}" on room:a: {sentence}'


def test_a_patch_shows_path_and_query_and_is_counted_by_its_path() -> None:
    tab = Tab()
    tab.join()
    info = tab.up("4", "5", TOPIC, "live_patch", {"url": "http://h/count?c=40"})
    assert info.summary == 'patch "/count?c=40" on /count (#5)'
    assert info.push is not None
    assert info.push.name == "/count"


def test_the_channel_of_an_upload_is_called_after_its_file() -> None:
    tab = Tab()
    tab.join()
    tab.up("4", "5", TOPIC, "allow_upload", {"entries": [{"ref": "0", "name": "größe.txt", "size": 5}]})
    tab.up("6", "6", "lvu:0", "phx_join", {"token": "t"})
    assert tab.reply("6", "6", {}, topic="lvu:0").summary == "upload of größe.txt: accepted after 10.0 ms"
    chunk = b"\0\x01\x01\x05\x05" + b"67lvu:0chunk" + b"12345"
    tab.up(chunk)
    assert tab.reply("6", "7", {}, topic="lvu:0").summary == "upload of größe.txt: chunk stored after 10.0 ms"
    tab.up(chunk.replace(b"7", b"8"))
    failed = tab.reply("6", "8", {"reason": "file_size_limit_exceeded"}, topic="lvu:0", status="error")
    assert failed.summary == "upload of größe.txt: refused (file_size_limit_exceeded) after 10.0 ms"
    assert tab.down("6", "6", "lvu:0", "phx_close", {}).summary == "upload of größe.txt closed"


def test_a_summary_counts_what_a_diff_did_to_a_stream() -> None:
    def stream(*inserts: Any, deletes: Any = (), reset: bool = False) -> dict[str, Any]:
        rows = {str(at): {"0": f' id="{insert[0]}"'} for at, insert in enumerate(inserts)}
        return {"0": {"k": {**rows, "kc": len(rows)}, "stream": ["0", [*map(list, inserts)], [*deletes], reset]}}

    tab = Tab()
    tab.up("4", "4", TOPIC, "phx_join", {"url": "http://h/feed", "params": {}})
    empty = {"s": ["<ul>", "</ul>"], "0": {"s": ["<li", "></li>"], **stream()["0"]}}
    tab.reply("4", "4", {"rendered": empty})

    def summary_of(diff: dict[str, Any]) -> str:
        return tab.down("4", None, TOPIC, "diff", diff).summary.partition(": ")[2]

    assert summary_of(stream(("a", -1, None, False), ("b", -1, None, False))) == "stream: 2 inserted"
    assert summary_of(stream(("a", -1, None, True), ("x", -1, None, True))) == "stream: 1 updated"
    assert summary_of(stream(("c", 0, 2, False))) == "stream: 1 inserted, 1 dropped by a limit"
    assert summary_of(stream(deletes=["a", "gone"])) == "stream: 1 deleted"
    assert summary_of(stream(("d", -1, None, False), reset=True)) == "stream: 1 inserted, stream reset"
