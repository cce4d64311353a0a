"""The gateway as a list of mitmproxy addons in pipeline order; `addons/gateway.py` and `livegate run` load it."""

from typing import Any

from mitmproxy.connection import Client

from livegate.inspect.commands import LiveViewCommands
from livegate.inspect.free_text import FreeText
from livegate.inspect.liveview import LiveViewInspector
from livegate.inspect.logging_frames import FrameLogger
from livegate.inspect.recorder import Recorder
from livegate.inspect.redaction import Redactor
from livegate.logs.addon import Logs
from livegate.logs.gate import Gate
from livegate.logs.terminal import Terminal
from livegate.operate.admin import AdminListener
from livegate.operate.desk import Desk
from livegate.operate.metrics import Metrics
from livegate.operate.watch import Watch
from livegate.pipeline.access_log import AccessLog
from livegate.pipeline.certificates import Certificates
from livegate.pipeline.drain import Drain
from livegate.pipeline.errors import Errors
from livegate.pipeline.exchange import CurrentSettings
from livegate.pipeline.flow_history import FlowHistory
from livegate.pipeline.guard import Guard
from livegate.pipeline.headers import Headers
from livegate.pipeline.https_redirect import HttpsRedirect
from livegate.pipeline.identity import ClientIdentity
from livegate.pipeline.inspection import Inspection
from livegate.pipeline.policy import RequestPolicy
from livegate.pipeline.rate_limiter import RateLimiter
from livegate.pipeline.recoveries import Recoveries
from livegate.pipeline.refusal import Refusal
from livegate.pipeline.router import DomainRouter
from livegate.pipeline.streaming import Streaming
from livegate.pipeline.timeouts import Timeouts
from livegate.pipeline.transport import Transport
from livegate.pipeline.websockets import WebSockets
from livegate.startup import Startup
from livegate.websocket.registry import Sockets


def pipeline() -> list[Any]:
    """Make a fresh set of addons that share one place for the settings in force."""
    current = CurrentSettings()
    terminal, timeouts = Terminal(), Timeouts(current)
    sockets = Sockets()
    recorder, redactor = Recorder(), Redactor()
    frames = FrameLogger(recorder, redactor)
    metrics, watch, drain = Metrics(current, sockets), Watch(recorder, redactor), Drain(current, sockets)
    recorder.on_frame.append(metrics.frame)

    def refused_early(client: Client, refusal: Refusal) -> None:
        metrics.refused_early(refusal)
        watch.refused_early(client.peername[0], refusal)

    policy = RequestPolicy(current, sockets, timeouts.http_started, refused_early)
    desk = Desk(current, sockets, drain=drain, watch=watch, metrics=metrics, redactor=redactor)
    return [
        Startup(current, terminal),
        Transport(policy, current.serving),
        Certificates(current),
        Guard(current),
        drain,
        ClientIdentity(),
        RateLimiter(),
        DomainRouter(),
        WebSockets(current, sockets),
        HttpsRedirect(),
        Headers(),
        timeouts,
        Streaming(),
        LiveViewInspector(recorder, redactor),
        Errors(),
        Recoveries(current),
        AccessLog(redactor),
        LiveViewCommands(recorder, redactor),
        frames,
        Inspection(current, redactor, frames),
        metrics,
        watch,
        AdminListener(current, desk),
        FlowHistory(),
        Logs(terminal, Gate(FreeText(redactor))),
    ]
