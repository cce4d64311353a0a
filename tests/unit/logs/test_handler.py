"""What becomes of a line between the logger and mitmproxy's handlers."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import http, log
from mitmproxy.test import tflow

from livegate.logs.context import EXCHANGE, FLOW, about, session_of, set_session
from livegate.logs.handler import (
    MAX_MESSAGE_CHARACTERS,
    MAX_TRACEBACK_CHARACTERS,
    RedactingHandler,
    is_about_a_request,
    log_line_of,
)
from livegate.logs.json_lines import JsonLines
from livegate.logs.throttle import LINES, WINDOW_S

logger = logging.getLogger("livegate.test.of.the.gate")


class Seen(logging.Handler):
    """As mitmproxy's terminal, and JSON beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.formatter = log.MitmFormatter(colorize=False)
        self.texts: list[str] = []
        self.entries: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.texts.append(self.format(record).partition("] ")[2])
        self.entries.append(json.loads(JsonLines().line(record)))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Iterator[RedactingHandler]:
    made = RedactingHandler(lambda text, flow: text.replace("CANARY", "*" if flow is None else "flow's"), clock)
    made.install()
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.DEBUG)
    yield made
    made.uninstall()
    root.setLevel(level)


@pytest.fixture
def seen() -> Iterator[Seen]:
    handler = Seen()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def flow() -> http.HTTPFlow:
    made = tflow.tflow()
    setattr(made, EXCHANGE, SimpleNamespace(request_id="id1"))
    return made


def test_the_ids_stand_at_the_end_of_the_text_and_are_fields_of_the_json(
    gate: RedactingHandler, seen: Seen, flow: http.HTTPFlow
) -> None:
    logger.warning("refused %s", "x", extra=about(flow))
    set_session(flow, 7)
    logger.warning("refused %s", "y", extra=about(flow))
    logger.warning("of none")
    assert seen.texts == ["refused x request=id1", "refused y request=id1 session=7", "of none"]
    fields = [[entry.get(name) for name in ("message", "request_id", "session")] for entry in seen.entries]
    assert fields == [["refused x", "id1", None], ["refused y", "id1", 7], ["of none", None, None]]
    assert [is_about_a_request(record) for record in seen.records] == [True, True, False]
    assert not any(hasattr(record, FLOW) for record in seen.records), "nobody keeps a flow by keeping a line"


def test_a_session_that_becomes_known_later_is_in_later_lines(flow: http.HTTPFlow) -> None:
    socket = SimpleNamespace(session=None)
    set_session(flow, socket)
    assert session_of(flow) is None
    socket.session = SimpleNamespace(number=3)
    assert session_of(flow) == 3
    assert session_of(flow.copy()) is None, "nothing of it is copied or saved"


def test_flows_of_nobody_have_no_ids(gate: RedactingHandler, seen: Seen) -> None:
    logger.warning("x", extra=about(tflow.tflow()))
    assert seen.texts == ["x"]


def test_secrets_and_control_characters_are_taken_out_of_message_and_exception(
    gate: RedactingHandler, seen: Seen, flow: http.HTTPFlow
) -> None:
    try:
        raise ValueError("CANARY\x1b[2J\nsecond")
    except ValueError as error:
        logger.exception("failed: %s", error, extra=about(flow))
        logger.exception("CANARY")
    message, trace = "failed: flow's\\x1b[2J\\nsecond", seen.entries[0]["traceback"]
    assert seen.entries[0]["message"] == message
    assert seen.texts[0] == f"{message} request=id1\n{trace}"
    assert trace.startswith("Traceback (most recent call last):\n  File ")
    assert trace.endswith("\nValueError: flow's\\x1b[2J\nsecond")
    assert seen.texts[1].startswith("*\nTraceback")
    assert not any("CANARY" in text.replace('("CANARY', "") for text in seen.texts)


def test_the_address_of_mitmweb_is_logged_with_its_access_token(gate: RedactingHandler, seen: Seen) -> None:
    for name in ("mitmproxy.tools.web.master", "mitmproxy.tools.web.webaddons"):
        logging.getLogger(name).info("Web server listening at http://127.0.0.1:8081/?token=CANARY")
        assert seen.texts[-1] == "Web server listening at http://127.0.0.1:8081/?token=CANARY"
    logging.getLogger("mitmproxy.tools.web.app").info("token=CANARY")
    assert seen.texts[-1] == "token=*"


def test_long_messages_and_tracebacks_are_cut_and_what_is_cut_off_is_no_secret(
    gate: RedactingHandler, seen: Seen
) -> None:
    long = "x" * (MAX_MESSAGE_CHARACTERS - 3) + "CANARY" + "y" * 100_000
    try:
        raise ValueError(long)
    except ValueError:
        logger.exception(long)
    (entry,) = seen.entries
    assert len(entry["message"]) == MAX_MESSAGE_CHARACTERS + 1
    assert entry["message"].endswith("x*yy…")
    assert len(entry["traceback"]) == MAX_TRACEBACK_CHARACTERS


def test_a_line_whose_values_do_not_fit_is_written_and_raises_nothing(gate: RedactingHandler, seen: Seen) -> None:
    logger.warning("%d of %s", "CANARY")  # noqa: PLE1206 - that is the point
    assert seen.texts == ["%d of %s (arguments do not match: TypeError)"]


def test_the_eleventh_line_of_a_kind_is_suppressed_and_summarized_with_the_next_line(
    gate: RedactingHandler, seen: Seen, clock: Clock
) -> None:
    for index in range(LINES + 5):
        logger.warning("failed %d", index)
    logger.warning("other")
    assert len(seen.texts) == LINES + 1
    assert gate.throttle.suppressed == 5
    clock.now += WINDOW_S
    logger.info("later")
    assert seen.texts[-2:] == ["5 more like this in 10.0 s: failed 0", "later"]
    summary = seen.entries[-2]
    assert (summary["suppressed"], summary["level"], summary["logger"]) == (5, "warning", logger.name)


def test_a_kind_of_its_own_is_not_held_back_by_another_of_the_same_template(
    gate: RedactingHandler, seen: Seen, flow: http.HTTPFlow
) -> None:
    for index in range(LINES + 1):
        logger.error("%d failed", index, extra=about(flow, "a.test"))
    logger.error("%d failed", 99, extra=about(flow, "b.test"))
    assert len(seen.texts) == LINES + 1
    assert seen.texts[-1].startswith("99 failed")


def test_a_line_that_is_all_value_is_of_no_kind(gate: RedactingHandler, seen: Seen) -> None:
    for index in range(3 * LINES):
        logger.error("%s", f"problem {index}")
    for _ in range(3 * LINES):
        logger.error("%s", "the same")
    assert len(seen.texts) == 4 * LINES


def test_unthrottled_loggers_are_never_suppressed(gate: RedactingHandler, seen: Seen, flow: http.HTTPFlow) -> None:
    set_session(flow, 4)
    quiet = ("livegate.access", "livegate.liveview", "mitmproxy.proxy.server")
    for _ in range(3 * LINES):
        for name in quiet:
            logging.getLogger(name).log(logging.INFO, "x", extra=about(flow))
        logger.debug("x")
        logging.getLogger("mitmproxy.addonmanager").error("Addon error: %s", "y")
    by_logger = {name: [entry for entry in seen.entries if entry["logger"] == name] for name in (*quiet, logger.name)}
    assert {len(entries) for entries in by_logger.values()} == {3 * LINES}
    assert len([entry for entry in seen.entries if entry["logger"] == "mitmproxy.addonmanager"]) == LINES
    shown = by_logger["livegate.liveview"][0]
    assert (shown["message"], shown["request_id"], shown["session"]) == ("x", "id1", 4)
    assert "x" in seen.texts, "as text it is what it was"


async def test_the_event_loop_writes_summaries_in_time(
    gate: RedactingHandler, seen: Seen, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    later: list[tuple[float, Any]] = []
    monkeypatch.setattr(loop, "call_later", lambda delay, call, *args: later.append((delay, call)))
    gate.set_event_loop(loop)

    def flood() -> None:
        for _ in range(LINES + 2):
            logger.warning("failed")

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join()
    await asyncio.sleep(0)
    assert [delay for delay, _ in later] == [WINDOW_S], "one timer, from whatever thread the lines came"
    clock.now += 3
    for _ in range(LINES + 1):
        logger.error("another")
    clock.now += 7
    later[0][1]()
    assert seen.texts[-1] == "2 more like this in 10.0 s: failed"
    assert [delay for delay, _ in later] == [WINDOW_S, 3.0], "the other kind's turn comes next"
    clock.now += 3
    later[1][1]()
    assert seen.texts[-1] == "1 more like this in 10.0 s: another"
    await asyncio.sleep(0)
    assert len(later) == 2, "no timer without anything to tell"


async def test_summaries_are_written_at_the_end_even_when_the_loop_is_closed(
    gate: RedactingHandler, seen: Seen
) -> None:
    ended = asyncio.new_event_loop()
    ended.close()
    gate.set_event_loop(ended)
    for _ in range(LINES + 1):
        logger.warning("failed")
    gate.uninstall()
    assert seen.texts[-1] == "1 more like this in 0.0 s: failed"
    logger.warning("as before")
    assert seen.texts[-1] == "as before"
    assert log_line_of(seen.records[-1]) is None
    gate._start_timer()
    assert not gate._timer_pending
