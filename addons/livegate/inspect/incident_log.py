"""Incidents for developers: a line in the log, lost events in the terminal, a marker on the flow."""

import logging
import sys

from mitmproxy import ctx, http

from livegate.inspect.markers import UNANSWERED, WARNING, marker_for_incident
from livegate.inspect.recorder import ObservedIncident, Recorder
from livegate.logs.context import about
from livegate.phoenix.formatting import shortened
from livegate.redaction.redactor import Redactor

logger = logging.getLogger("livegate.incidents")
terminal = logging.getLogger("livegate.liveview")

_LOST_COLOUR = "31"


class IncidentLogger:
    """Logs each incident and marks its flow, except refused requests, which the gateway logs itself."""

    def __init__(self, recorder: Recorder, redactor: Redactor) -> None:
        self._redactor = redactor
        self._colour = sys.stdout.isatty()
        recorder.on_incident.append(self._log)

    def _log(self, observed: ObservedIncident) -> None:
        incident, flow = observed.incident, observed.flow
        if flow is None or incident.kind == "refused":
            return
        if ctx.options.liveview_log == "events":
            self._log_lost_events(observed, flow)
        text = self._redactor.text(incident.text)
        logger.warning("%s · %s", incident.slug, text, extra=about(flow, incident.slug))
        _set_marker(flow, incident.slug)

    def _log_lost_events(self, observed: ObservedIncident, flow: http.HTTPFlow) -> None:
        """Print the events that were lost, because no reply will print them."""
        incident = observed.incident
        number = f"[{incident.session}] " if incident.session is not None else ""
        for name in incident.events:
            line = f'{number}{shortened(incident.view)}  "{shortened(name)}"  no reply  {incident.title}'
            line = self._redactor.text(line)
            terminal.info("%s", f"\x1b[{_LOST_COLOUR}m{line}\x1b[0m" if self._colour else line, extra=about(flow))


def _set_marker(flow: http.HTTPFlow, slug: str) -> None:
    """Mark a flow, unless a person or a problem of the same severity has marked it before."""
    if flow.marked in ("", UNANSWERED, WARNING):
        flow.marked = marker_for_incident(slug)
