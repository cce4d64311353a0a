"""Which lines are made and shown, and in what form."""

import asyncio
import contextlib
import errno
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy.addons import errorcheck, termlog
from mitmproxy.test import taddons, tflow

from livegate.logs.addon import Logs
from livegate.logs.context import EXCHANGE, about
from livegate.logs.handler import RedactingHandler
from livegate.logs.json_lines import JsonLines
from livegate.logs.terminal import CONNECTION_LOGGER, WATCH_LOGGER, Terminal
from livegate.pipeline import access_log
from livegate.settings import Log

logger = logging.getLogger("livegate.test.of.the.terminal")


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    names = ("livegate", CONNECTION_LOGGER, WATCH_LOGGER)
    before = {name: logging.getLogger(name).level for name in names}
    root = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    yield
    logging.getLogger().setLevel(root)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


class Tool:
    """mitmdump's terminal log, with the gateway's log addon."""

    def __init__(self, context: Any, out: io.StringIO) -> None:
        self.context, self.out = context, out
        self.terminal = Terminal()
        self.logs = Logs(self.terminal, RedactingHandler(lambda text, flow: text))
        context.master.addons.add(self.logs)
        self.logs.running()

    def lines(self) -> list[str]:
        found = self.out.getvalue().splitlines()
        self.out.seek(0)
        self.out.truncate()
        return found


@contextlib.contextmanager
def mitmdump() -> Iterator[Tool]:
    """To be entered in the test itself: mitmproxy's handlers take no lines of other tests, nor of a test's set-up."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        terminal_log = termlog.TermLog(out)
        with taddons.context(terminal_log, errorcheck.ErrorCheck()) as context:
            made = Tool(context, out)
            try:
                yield made
            finally:
                made.logs.done()
        terminal_log.uninstall()


async def test_debug_lines_are_created_only_while_a_user_interface_shows_them() -> None:
    with mitmdump() as tool:
        tool.terminal.apply(Log())
        assert not logger.isEnabledFor(logging.DEBUG)
        assert logging.getLogger(CONNECTION_LOGGER).level == logging.WARNING
        tool.terminal.apply(Log(level="debug"))
        assert logger.isEnabledFor(logging.DEBUG)
        assert logging.getLogger(CONNECTION_LOGGER).level == logging.NOTSET
        logger.debug("shown")
        assert tool.lines()[-1].endswith("] shown")
        tool.terminal.apply(Log(level="error"))
        assert not logger.isEnabledFor(logging.DEBUG)
        assert logger.isEnabledFor(logging.INFO), "mitmweb's own log has them"
        logger.warning("not shown")
        assert tool.lines() == []


async def test_a_verbosity_that_the_user_sets_while_it_runs_is_followed() -> None:
    with mitmdump() as tool:
        tool.terminal.apply(Log())
        tool.context.options.update(termlog_verbosity="debug")
        assert logger.isEnabledFor(logging.DEBUG)
        tool.context.options.update(termlog_verbosity="info")
        assert not logger.isEnabledFor(logging.DEBUG)
        tool.terminal.apply(Log(level="debug"))
        tool.logs.configure({"another"})
        assert logger.isEnabledFor(logging.DEBUG)


async def test_json_and_back_on_a_reload() -> None:
    with mitmdump() as tool:
        tool.terminal.apply(Log(format="json"))
        tool.terminal.apply(Log(format="json", level="warning"))
        logger.info("below")
        logger.warning("one", extra={"client": ("192.0.2.1", 5)})
        (line,) = tool.lines()
        entry = json.loads(line)
        assert (entry["message"], entry["level"], entry["client"]) == ("one", "warning", "192.0.2.1:5")
        tool.terminal.apply(Log())
        logger.info("two")
        assert [line.partition("] ")[2] for line in tool.lines()] == ["two"]


async def test_lines_leave_together_at_the_end_of_a_turn_and_bad_news_at_once() -> None:
    with mitmdump() as tool:
        tool.terminal.apply(Log(format="json"))

        def messages() -> list[str]:
            return [json.loads(line)["message"] for line in tool.lines()]

        logger.info("one")
        logger.info("two")
        assert messages() == []
        await asyncio.sleep(0)
        assert messages() == ["one", "two"]
        logger.info("three")
        logger.warning("four")
        assert messages() == ["three", "four"]
        await asyncio.to_thread(logger.info, "from a thread without an event loop")
        assert messages() == ["from a thread without an event loop"]
        logger.info("five")
        tool.terminal.stop_buffering()
        logger.info("six")
        assert messages() == ["five", "six"]


async def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with mitmdump() as tool:
        tool.terminal.apply(Log(format="json"))
        with contextlib.redirect_stdout(Full()):
            logger.warning("lost")
        logger.warning("there again")
        assert [json.loads(line)["message"] for line in tool.lines()] == ["there again"]


async def test_the_line_about_missing_lines_has_the_form_of_the_others() -> None:
    with mitmdump() as tool:
        tool.terminal.apply(Log(format="json"))
        entry = json.loads(tool.terminal.missing_text(4))
        assert entry["message"] == "4 lines of the log could not be written before this one"
        assert (entry["level"], entry["logger"]) == ("error", "livegate.logs.terminal")
        tool.terminal.apply(Log())
        assert tool.terminal.missing_text(4).endswith("] 4 lines of the log could not be written before this one\n")


async def test_an_access_log_line_is_the_record_that_a_logger_makes() -> None:
    made: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            made.append(record)

    keeper = Keeper()
    access = logging.getLogger("livegate.access")
    access.addHandler(keeper)
    try:
        access_log.write({"method": "GET", "path": "/a b", "reason": None})
        access.info("%s", "the same", extra={"livegate_fields": {}})
    finally:
        access.removeHandler(keeper)
    quick, usual = made
    assert vars(quick).keys() == vars(usual).keys()
    assert quick.getMessage() == 'method=GET path="/a b"'
    assert 0 <= usual.created - quick.created < 10
    assert 0 <= quick.msecs < 1000
    for name in ("name", "levelno", "levelname", "process", "threadName", "exc_info", "stack_info"):
        assert getattr(quick, name) == getattr(usual, name)


async def test_unloading_writes_summaries_and_restores_the_loggers() -> None:
    with mitmdump() as tool:
        tool.terminal.apply(Log(format="json"))
        for _ in range(12):
            logger.warning("again")
        assert tool.logs.suppressed == 2
        tool.logs.done()
        assert json.loads(tool.lines()[-1])["suppressed"] == 2
        logger.info("as text")
        assert tool.lines()[-1].endswith("] as text")
        assert logging.getLogger("livegate").level == logging.NOTSET


async def test_at_the_end_of_the_process_the_form_stays() -> None:
    with mitmdump() as tool:
        tool.terminal.apply(Log(format="json"))
        tool.context.master.should_exit.set()
        tool.logs.done()
        logger.info("the last words")
        assert json.loads(tool.lines()[-1])["message"] == "the last words"
        tool.context.master.should_exit.clear()


async def test_an_error_about_a_request_does_not_end_mitmproxys_start_and_others_do() -> None:
    with mitmdump() as tool:
        flow = tflow.tflow()
        setattr(flow, EXCHANGE, type("Record", (), {"request_id": "id1"}))
        check = tool.context.master.addons.get("errorcheck")
        logger.error("a backend is down", extra=about(flow))
        assert check.logger.has_errored == []
        logger.error("settings are bad")
        assert len(check.logger.has_errored) == 1
        check.finish()


async def test_the_console_keeps_its_terminal_and_debug_lines_are_made_for_its_log() -> None:
    with taddons.context() as context:
        context.options.add_option("console_eventlog_verbosity", str, "info", "")
        terminal = Terminal()
        terminal.apply(Log(format="json"))
        assert not logger.isEnabledFor(logging.DEBUG)
        context.options.update(console_eventlog_verbosity="debug")
        terminal.update_logger_level()
        assert logger.isEnabledFor(logging.DEBUG)
        logs = Logs(terminal, RedactingHandler(lambda text, flow: text))
        context.master.addons.add(logs)
        logs.done()


def test_lines_of_before_the_gate_are_one_object_as_well() -> None:
    lines = JsonLines()
    record = logging.LogRecord("x", logging.INFO, "f", 1, "a\nb", (), None)
    assert json.loads(lines.line(record))["message"] == "a\\nb"


def test_a_json_line_has_the_fields_or_the_message_and_a_traceback() -> None:
    lines = JsonLines()
    plain = logging.LogRecord("x", logging.WARNING, "f", 1, "a\nb %s", ("c",), None)
    assert json.loads(lines.line(plain))["message"] == "a\\nb c"
    with_fields = logging.LogRecord("livegate.access", logging.INFO, "f", 1, "m", (), None)
    with_fields.livegate_fields = {"status": 200, "reason": None}
    entry = json.loads(lines.line(with_fields))
    assert entry["status"] == 200
    assert "reason" not in entry
    try:
        raise ValueError("inner")
    except ValueError as error:
        failed = logging.LogRecord("x", logging.ERROR, "f", 1, "m", (), (type(error), error, error.__traceback__))
    assert "ValueError: inner" in json.loads(lines.line(failed))["traceback"]
