"""Finished flows in the user interfaces: the newest stay, marked ones stay, and none that is live is touched."""

from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import http
from mitmproxy.addons.view import View
from mitmproxy.test import taddons, tflow

from livegate.inspect.markers import MARKERS
from livegate.pipeline.flow_history import FlowHistory


def finished(history: FlowHistory, view: View, given: object, size: int = 10) -> http.HTTPFlow:
    made = flow()
    begun(made, given)  # type: ignore[arg-type]
    made.response = http.Response.make(200, b"x" * size)
    view.add([made])
    made.live = False
    history.response(made)
    return made


@pytest.mark.parametrize("bounds", [{"flows": 3}, {"flow_bytes": "16KiB"}])
def test_the_oldest_go_first_and_marked_ones_stay(tmp_path: Path, bounds: dict[str, object]) -> None:
    given = settings(tmp_path, history=bounds)
    history, view = FlowHistory(MARKERS), View()
    with taddons.context(view):
        marked = finished(history, view, given)
        marked.marked = ":star:"
        live = finished(history, view, given)
        live.live = True
        others = [finished(history, view, given) for _ in range(6)]
        assert marked in view
        assert live in view
        assert [other for other in others if other in view] == others[-1:]
        assert live.error is None


def test_a_cleared_view_is_followed_and_flows_of_others_are_left_alone(tmp_path: Path) -> None:
    given = settings(tmp_path, history={"flows": 2})
    history, view = FlowHistory(MARKERS), View()
    with taddons.context(view):
        for _ in range(2):
            finished(history, view, given)
        view.clear()
        other_flow = tflow.tflow(resp=True)
        history.response(other_flow)
        history.error(other_flow)
        assert len(history._sizes) == 2
        kept = [finished(history, view, given) for _ in range(3)]
        assert [one in view for one in kept] == [False, True, True]


def test_a_websocket_counts_once_it_has_ended_with_its_messages(tmp_path: Path) -> None:
    given = settings(tmp_path, history={"flow_bytes": "1MiB"})
    history, view = FlowHistory(MARKERS), View()
    with taddons.context(view):
        made = tflow.twebsocketflow()
        begun(made, given)
        history.response(made)
        assert history._bytes == 0
        made.websocket.messages[0].content = b"x" * 2_000_000
        made.live = False
        view.add([made])
        history.websocket_end(made)
        assert made not in view
        assert history._bytes == 0


def test_without_a_user_interface_nothing_is_kept(tmp_path: Path) -> None:
    history = FlowHistory(MARKERS)
    with taddons.context(history):
        made = flow()
        begun(made, settings(tmp_path))
        made.response = http.Response.make(200)
        history.response(made)
        assert not history._sizes


def test_livegates_markers_keep_a_flow_twice_as_long_and_a_persons_for_good(tmp_path: Path) -> None:
    given = settings(tmp_path, history={"flows": 4})
    history, view = FlowHistory(MARKERS), View()
    with taddons.context(view):
        persons, crashed, other = [finished(history, view, given) for _ in range(3)]
        persons.marked, crashed.marked = ":star:", ":boom:"
        for _ in range(2):
            finished(history, view, given)
        assert [one in view for one in (persons, crashed, other)] == [True, True, False]
        for _ in range(4):
            finished(history, view, given)
        assert [one in view for one in (persons, crashed)] == [True, False]
        assert len(history._sizes) == 4


@pytest.mark.parametrize("marker", [":boom:", ":no_entry:", ":question:", ":warning:"])
def test_a_history_of_flows_that_livegate_has_marked_is_bounded_and_a_new_flow_is_shown(
    tmp_path: Path, marker: str
) -> None:
    given = settings(tmp_path, history={"flows": 3})
    history, view = FlowHistory(MARKERS), View()
    with taddons.context(view):
        for _ in range(9):
            made = finished(history, view, given)
            assert made in view
            assert len(history._sizes) <= 3
            made.marked = marker


def test_the_messages_of_ended_sockets_count_with_what_each_takes_in_memory(tmp_path: Path) -> None:
    given = settings(tmp_path, history={"flow_bytes": "1MiB"})
    history, view = FlowHistory(MARKERS), View()
    with taddons.context(view):
        made = []
        for _ in range(5):
            flow_ = tflow.twebsocketflow()
            begun(flow_, given)
            assert flow_.websocket
            flow_.websocket.messages = flow_.websocket.messages[:1] * 150
            view.add([flow_])
            flow_.live = False
            history.websocket_end(flow_)
            made.append(flow_)
        assert [one in view for one in made] == [False, False, True, True, True]
