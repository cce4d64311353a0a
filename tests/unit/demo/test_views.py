"""The demo's views take events that they do not know, and numbers from the URL that are none."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.demo import views


@pytest.mark.parametrize(
    "view", [views.StreamLive, views.NavigateLive, views.UploadLive], ids=lambda view: view.__name__
)
async def test_an_unknown_event_changes_nothing(view: type[views.View]) -> None:
    socket = SimpleNamespace(context=view().first())
    before = dict(socket.context)
    arguments: dict[str, Any] = {"event": "unheard of", "socket": socket}
    if view is views.StreamLive:
        arguments["payload"] = {}
    await view().handle_event(**arguments)
    assert socket.context == before


async def test_a_tick_from_before_the_stop_does_not_count() -> None:
    socket = SimpleNamespace(context={"count": 3, "ticking": 0})
    await views.CountLive().handle_info(views.InfoEvent("tick", 17), socket)
    await views.CountLive().handle_event("unheard of", {}, socket)
    assert socket.context == {"count": 3, "ticking": 0}


@given(st.text())
def test_any_text_is_a_bounded_number(text: str) -> None:
    assert abs(views._whole(text, 7)) < 10**9
