"""Incidents of genuine sessions, and the lines and marks that are made of incidents."""

import logging
from collections.abc import Iterator

import pytest
from mitmproxy.test import taddons
from socket_flow import TOPIC, Browser

from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.markers import marker_for_incident
from livegate.phoenix.incidents.catalog import SLUGS
from livegate.phoenix.model import Incident
from scenes.in_process import play

SCENES = {
    "nested": [
        ("view-crashed", "ClockLive", "CountLive", ("ccrash",), "rejoined"),
        ("view-crashed", "CountLive", "", ("crash",), "rejoined"),
        ("unauthorized", "/admin", "", (), "page reloaded"),
    ],
    "sticky-two-users": [],
    "two-roots": [],
    "hook-async-portal": [],
    "upload": [],
    "channels-and-presence": [
        ("channel-refused", "room:private", "", (), ""),
        ("channel-crashed", "room:lobby", "", (), "rejoined"),
        ("channel-refused", "room:private", "", (), ""),
    ],
    "longpoll": [("view-crashed", "ClockLive", "CountLive", ("ccrash",), "rejoined")],
}


@pytest.mark.parametrize("name", SCENES)
def test_a_genuine_session_has_the_incidents_that_happened_and_no_other(name: str) -> None:
    played = play(name)
    played.leave()
    incidents = [each for session in played.sessions for each in session.incidents]
    found = [(each.slug, each.view, each.parent, each.events, each.healed) for each in incidents]
    assert found == SCENES[name]


@pytest.fixture
def inspector() -> Iterator[LiveViewInspector]:
    made = LiveViewInspector()
    with taddons.context(made) as context:
        context.options.update(liveview_log="events")
        yield made


def crashed(inspector: LiveViewInspector) -> Browser:
    browser = Browser(inspector)
    browser.session()
    browser.frame(["4", "13", TOPIC, "event", {"type": "click", "event": "boom"}])
    browser.frame(["4", "4", TOPIC, "phx_error", {}], up=False)
    return browser


def test_an_event_without_a_reply_is_in_the_terminal_and_the_incident_in_the_log(
    inspector: LiveViewInspector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        crashed(inspector)
    lines = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert ("livegate.liveview", "INFO", '[1] /count  "boom"  no reply  LiveView crashed') in lines
    (incidents,) = [message for name, level, message in lines if (name, level) == ("livegate.incidents", "WARNING")]
    assert incidents.startswith("view-crashed · LiveView crashed · /count: The process of /count ended abnormally")
    assert incidents.endswith('There was no reply to "boom".')


def test_with_the_terminal_off_the_log_alone_has_it(
    inspector: LiveViewInspector, caplog: pytest.LogCaptureFixture
) -> None:
    inspector_off = LiveViewInspector()
    with taddons.context(inspector_off), caplog.at_level(logging.INFO):
        crashed(inspector_off)
    assert [record.name for record in caplog.records] == ["livegate.incidents"]


def test_a_marker_follows_the_severity_and_a_persons_marker_stays(inspector: LiveViewInspector) -> None:
    browser = crashed(inspector)
    assert browser.flow.marked == ":boom:"
    lost = Incident("backend-lost", "t", "w", "d", 1.0, kind="closed")
    browser.flow.marked = ":question:"
    inspector.recorder.report(lost, None, browser.flow)
    assert browser.flow.marked == ":warning:"
    browser.flow.marked = ":star:"
    inspector.recorder.report(lost, None, browser.flow)
    assert browser.flow.marked == ":star:"


def test_a_refused_request_has_lines_of_its_own_already(
    inspector: LiveViewInspector, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(inspector)
    inspector.recorder.report(Incident("rate-limit", "t", "w", "d", 1.0, kind="refused"), None, browser.flow)
    inspector.recorder.report(Incident("rate-limit", "t", "w", "d", 1.0), None, None)
    assert not caplog.records
    assert not browser.flow.marked


def test_every_incident_of_frames_has_a_mark() -> None:
    assert {marker_for_incident(slug) for slug in SLUGS} == {":boom:", ":no_entry:", ":warning:"}
