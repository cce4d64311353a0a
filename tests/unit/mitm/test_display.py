"""Secrets are hidden in mitmproxy's console and in its cuts, and the tools that are not known are left alone."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.addons import cut
from mitmproxy.test import tflow
from mitmproxy.tools.console import common, flowview
from mitmproxy.tools.web import app

from livegate.mitm import display
from livegate.redaction.flows import FlowRedactor
from livegate.redaction.redactor import Redactor

CANARY = "CANARYcanary0123456789"


@pytest.fixture
def hidden() -> Iterator[None]:
    display.install(FlowRedactor(Redactor()))
    yield
    display.uninstall()


def _flow() -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.request.path = f"/count?token={CANARY}&page=2"
    flow.request.headers["Cookie"] = f"_app_key={CANARY}"
    return flow


def _text(widget: Any) -> str:
    return "\n".join(line.decode() for line in widget.render((200,)).text)


def _details(message: http.Message | None) -> str:
    commands = SimpleNamespace(call=lambda *_: "auto", execute=lambda *_: "false")
    details = SimpleNamespace(master=SimpleNamespace(commands=commands), _contentview_status_bar=lambda *_: None)
    details.content_view = lambda _, shown: (shown.text, [])
    seen: list[Any] = []
    stock = flowview.searchable.Searchable
    try:
        flowview.searchable.Searchable = seen.append
        flowview.FlowDetails.conn_text(details, message)
    finally:
        flowview.searchable.Searchable = stock
    return "\n".join(_text(widget) for widget in seen[0] if widget is not None)


@pytest.mark.parametrize("mode", [common.RenderMode.TABLE, common.RenderMode.LIST, common.RenderMode.DETAILVIEW])
def test_the_consoles_lists(hidden: None, mode: common.RenderMode) -> None:
    shown = _text(common.format_flow(_flow(), render_mode=mode))
    assert CANARY not in shown
    assert "page=2" in shown


def test_the_consoles_views(hidden: None) -> None:
    flow = _flow()
    shown = _details(flow.request)
    assert CANARY not in shown
    assert "_app_key=⟪redacted-" in shown.replace("\\xe2\\x9f\\xaa", "⟪")
    assert "No response" in _details(None)
    display.uninstall()
    assert CANARY in _details(flow.request)


def test_a_cut_is_redacted(hidden: None) -> None:
    flow = _flow()
    for what in ("request.path", "request.header[cookie]", "request.url"):
        assert CANARY not in str(cut.extract(what, flow))
    assert cut.extract("request.method", flow) == "GET"
    assert CANARY in flow.request.path


@pytest.mark.parametrize(
    ("owner", "name", "tool"), [(app, "flow_to_json", "mitmweb"), (flowview.FlowDetails, "conn_text", "the console")]
)
def test_an_unknown_tool_is_left_unchanged_with_a_warning(
    owner: Any, name: str, tool: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def other(one: object, two: object, three: object) -> None:
        """Takes something else than it did."""

    monkeypatch.setattr(owner, name, other)
    with caplog.at_level(logging.WARNING):
        display.install(FlowRedactor(Redactor()))
    try:
        assert getattr(owner, name) is other
        assert f"secrets are not redacted in {tool}: this version of mitmproxy is unknown" in caplog.text
    finally:
        display.uninstall()
