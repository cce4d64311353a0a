"""Composition root: the addons of the gateway and of the inspector. Only this module knows every package.

`addons/gateway.py` and `livegate run` load `gateway_addons`, `addons/liveview.py` loads `inspector_addons`.
"""

from typing import Any

from mitmproxy.connection import Client

from livegate.admin.addon import AdminListener
from livegate.admin.state import GatewayState
from livegate.garbage_collection import GarbageCollection
from livegate.http1.refusal import Refusal
from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.commands import LiveViewCommands
from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.markers import MARKERS
from livegate.inspect.recorder import Recorder
from livegate.inspect.redaction_addon import InspectSettings, RedactionOption
from livegate.logs.addon import Logs
from livegate.logs.handler import RedactingHandler
from livegate.logs.terminal import Terminal
from livegate.observe.history.addon import History
from livegate.observe.metrics.addon import Metrics
from livegate.observe.metrics.loop_lag import LoopLag
from livegate.observe.tracing.addon import Tracing
from livegate.pipeline.access_log import AccessLog
from livegate.pipeline.backend_recovery import BackendRecovery
from livegate.pipeline.certificates import Certificates
from livegate.pipeline.client_identity import ClientIdentity
from livegate.pipeline.drain import Drain
from livegate.pipeline.failure_log import FailureLog
from livegate.pipeline.flow_history import FlowHistory
from livegate.pipeline.guard import Guard
from livegate.pipeline.handshake_timeout import HandshakeTimeout
from livegate.pipeline.headers import Headers
from livegate.pipeline.https_redirect import HttpsRedirect
from livegate.pipeline.next_layer import GatewayNextLayer
from livegate.pipeline.policy import RequestPolicy
from livegate.pipeline.rate_limiter import RateLimiter
from livegate.pipeline.ratelimit.memory_storage import BoundedMemoryStorage
from livegate.pipeline.ratelimit.quotas import QuotaChecker
from livegate.pipeline.router import DomainRouter
from livegate.pipeline.safe_options import SafeOptions
from livegate.pipeline.startup import Startup
from livegate.pipeline.streaming import Streaming
from livegate.pipeline.websocket_admission import WebSocketAdmission
from livegate.redaction.log_text import LogTextRedactor
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings
from livegate.websocket.registry import SocketRegistry


def gateway_addons() -> list[Any]:
    """Make a fresh set of the gateway's addons, in pipeline order."""
    current = CurrentSettings()
    terminal, timeouts = Terminal(), HandshakeTimeout(current)
    sockets = SocketRegistry()
    recorder, redactor = Recorder(), Redactor()
    frames = FrameLogger(recorder, redactor)
    metrics = Metrics(current, sockets, recorder.tracker)
    history, drain = History(recorder, redactor), Drain(current, sockets)
    recorder.on_frame.append(metrics.on_frame)
    recorder.on_incident.append(metrics.on_incident)
    tracing = Tracing(current, recorder, redactor)

    def refused_before_flow(client: Client, refusal: Refusal, size: int) -> None:
        metrics.refused_before_flow(refusal, size)
        history.refused_before_flow(client.peername[0], refusal)

    policy = RequestPolicy(current, sockets, timeouts.http_started, refused_before_flow)
    startup, rates = Startup(current, terminal), BoundedMemoryStorage()
    logs = Logs(terminal, RedactingHandler(LogTextRedactor(redactor)))
    startup.on_reload.append(metrics.on_reload)
    metrics.count_drops(
        {
            "frame-log-lines": lambda: frames.dropped,
            "frames-unread": lambda: recorder.skipped,
            "incidents": lambda: history.feed.evicted,
            "log-lines": lambda: logs.suppressed,
            "log-lines-unwritten": lambda: logs.unwritten,
            "rate-limit-keys": lambda: rates.evicted,
            "recordings": lambda: history.recordings.evicted,
            "sessions": lambda: recorder.tracker.evicted,
            "spans": lambda: tracing.dropped,
        }
    )
    state = GatewayState(current, sockets, drain=drain, history=history, metrics=metrics, redactor=redactor)
    return [
        SafeOptions(),
        startup,
        GatewayNextLayer(policy, current.ready),
        Certificates(current),
        Guard(current),
        drain,
        ClientIdentity(),
        RateLimiter(QuotaChecker(rates)),
        DomainRouter(),
        WebSocketAdmission(current, sockets),
        HttpsRedirect(),
        tracing.context,
        Headers(),
        timeouts,
        Streaming(),
        LiveViewInspector(recorder, redactor),
        FailureLog(),
        BackendRecovery(current),
        AccessLog(redactor),
        LiveViewCommands(recorder, redactor),
        frames,
        InspectSettings(current, recorder, redactor, frames),
        metrics,
        LoopLag(metrics.lag.observe, history.time_series.add_lag),
        history,
        tracing,
        AdminListener(current, state),
        FlowHistory(MARKERS),
        logs,
        GarbageCollection(),
    ]


def inspector_addons() -> list[Any]:
    """Make a fresh set of the inspector's addons, for use without the gateway."""
    recorder, redactor = Recorder(), Redactor()
    return [RedactionOption(redactor), LiveViewInspector(recorder, redactor), LiveViewCommands(recorder, redactor)]
