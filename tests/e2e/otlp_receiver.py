"""An OTLP receiver for tests: takes spans over HTTP as a collector does, by OpenTelemetry's own protocol definitions."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

TIMEOUT_S = 20


def plain(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")


class Received:
    """A span as it arrived, in plain values."""

    def __init__(self, span: Span, resource: dict[str, Any]) -> None:
        self.name, self.resource = span.name, resource
        self.trace_id, self.span_id = span.trace_id.hex(), span.span_id.hex()
        self.parent_id = span.parent_span_id.hex()
        self.attributes = {each.key: plain(each.value) for each in span.attributes}
        self.failed = span.status.code == Status.STATUS_CODE_ERROR
        self.message = span.status.message
        self.is_server = span.kind == Span.SPAN_KIND_SERVER
        self.links = [(each.trace_id.hex(), each.span_id.hex()) for each in span.links]
        self.events = [(each.name, {one.key: plain(one.value) for one in each.attributes}) for each in span.events]
        self.start, self.end = span.start_time_unix_nano, span.end_time_unix_nano

    def __repr__(self) -> str:
        return f"{self.name} {self.trace_id[:6]}/{self.span_id[:6]} of {self.parent_id[:6]} {self.attributes}"


class Receiver:
    """Serves `/v1/traces`; keeps all spans, the bytes they came in, and the header fields by their names in lower case."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.spans: list[Received] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                found = receiver._take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(found)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(TIMEOUT_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._news:
            self._news.notify_all()
            self.headers.append(headers)
            if path != "/v1/traces":
                return 404
            if self.status != 200:
                return self.status
            self.bodies.append(body)
            for part in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = {each.key: plain(each.value) for each in part.resource.attributes}
                self.spans += [Received(span, resource) for scope in part.scope_spans for span in scope.spans]
            return self.status

    def wait_for(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        with self._news:
            assert self._news.wait_for(lambda: enough(self.spans), TIMEOUT_S), self.spans
            return list(self.spans)

    def wait_for_requests(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.headers) >= count, TIMEOUT_S), self.headers
