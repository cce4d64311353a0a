"""The page at every step of genuine sessions, beside the browser's own DOM: nested, sticky and second roots included."""

import pytest
from mitmproxy.test import taddons

from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.session_documents import page_html
from livegate.observe.history.addon import History
from livegate.phoenix.model import Session
from livegate.redaction.redactor import Redactor
from scenes.dom import differences
from scenes.in_process import Played, Player
from scenes.recording import NAMES, Step, scene


def session_at(played: Played, step: Step) -> Session | None:
    """The session of the page that a browser showed: ids of root views are random."""
    topics = {f"lv:{id_}" for id_, _ in step.dom}
    return next((session for session in played.sessions if not topics.isdisjoint(session.views)), None)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "channels-and-presence"])
def test_the_page_of_a_genuine_session_is_the_browsers_own_at_every_step(name: str) -> None:
    played = Played(LiveViewInspector(), scene(name))
    history = History(played.recorder, Redactor())
    history.active = True
    compared, wrong = 0, []
    with taddons.context(played.inspector) as context:
        context.options.update(liveview_log="off")
        player = Player(played, [played.inspector])
        for step in played.steps:
            player.play(step)
            session = session_at(played, step) if step.kind == "dom" else None
            if session is None:
                continue
            recording = history.recordings.get(session.number)
            assert recording is not None
            assert recording.page is not None, f"line {step.number}"
            compared += 1
            wrong += [f"line {step.number}: {each}" for each in differences(recording.page.html(), step.dom)]
            assert recording.page.html() in page_html(session)
    assert compared == sum(step.kind == "dom" for step in played.steps)
    assert not wrong, "\n".join([f"{len(wrong)} of {compared} differ", *wrong[:3]])
