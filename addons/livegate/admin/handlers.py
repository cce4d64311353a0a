"""Base classes of the admin API's handlers: JSON responses, errors, parameters, and the two kinds of resources."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, override

import msgspec
from tornado import web

from livegate import lenient_json
from livegate.admin import bodies
from livegate.admin.loop_bridge import GatewayUnresponsiveError
from livegate.admin.state import GatewayState, NotFoundError
from livegate.inspect.json_units import Body
from livegate.redaction.printable import printable

logger = logging.getLogger(__name__)

MAX_NUMBER = 2**53
"""Largest integer that JavaScript represents exactly."""
MAX_DIGITS = 15
JSON = "application/json"
ERRORS = {GatewayUnresponsiveError: 503, NotFoundError: 404}


def json_bytes(value: Any) -> bytes:
    """Serialize a body, or a plain value with bodies in it."""
    return lenient_json.json_bytes(msgspec.to_builtins(value))


class ApiError(web.HTTPError):
    """The request is refused, with a reason for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status)
        self.message = message


@dataclass(frozen=True, slots=True)
class Parameter:
    """Parameter of the query. An integer beyond `maximum` counts as the maximum."""

    name: str
    description: str
    default: int | str = 0
    maximum: int = MAX_NUMBER
    choices: tuple[str, ...] = ()


class JsonHandler(web.RequestHandler):
    """Handler whose responses, errors included, are JSON and are not cached."""

    allow: ClassVar[tuple[str, ...]] = ()
    """Allowed methods."""

    @override
    def compute_etag(self) -> None:
        """Make none, because nothing is cached."""

    def respond(self, body: Body, status: int = 200) -> None:
        """Finish the response with a JSON body."""
        self.set_status(status)
        self.set_header("Content-Type", JSON)
        self.finish(json_bytes(body))

    def refuse(self, status: int, reason: str) -> None:
        """Finish the response with an error."""
        self.respond(bodies.Error(reason), status)

    @override
    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, ApiError):
            self.refuse(status_code, error.message)
        elif type(error) in ERRORS:
            self.refuse(ERRORS[type(error)], str(error))
        elif status_code == 405 and self.allow:  # noqa: PLR2004
            self.set_header("Allow", ", ".join(self.allow))
            self.refuse(status_code, f"allowed here: {', '.join(self.allow)}")
        else:
            self.refuse(status_code, "internal error, see the gateway's log" if status_code >= 500 else self._reason)  # noqa: PLR2004

    @override
    def log_exception(self, *args: Any) -> None:
        error = args[1]
        if not isinstance(error, (web.HTTPError, *ERRORS)):
            logger.error("admin request for %s failed", printable(self.request.path, 200), exc_info=error)


class Resource(JsonHandler):
    """Resource of the API. Its docstring is the description in openapi.json."""

    query: ClassVar[tuple[Parameter, ...]] = ()
    status = 200
    content_type: ClassVar[str] = JSON

    def initialize(self, state: GatewayState, **more: Any) -> None:
        """Called by Tornado."""
        self.state = state
        super().initialize(**more)

    def integer(self, name: str) -> int:
        """Return an integer of the query, at least 0. Raises ApiError."""
        parameter = next(each for each in self.query if each.name == name)
        text = self.get_query_argument(name, "") or str(parameter.default)
        if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
            raise ApiError(400, f"{name} must be an integer of at least 0")
        return min(int(text), parameter.maximum)


class Read(Resource):
    """Resource that is read."""

    allow = ("GET", "HEAD")
    read: Callable[..., Awaitable[Body | bytes]]
    """Takes the placeholders of the path. Returns the body."""

    async def get(self, *path: str) -> None:
        """Respond to GET and HEAD; for HEAD, Tornado omits the body."""
        body = await self.read(*path)
        if isinstance(body, Body):
            self.respond(body, self.status)
        else:
            self.set_header("Content-Type", f"{self.content_type}; charset=utf-8")
            await self.finish(body)

    head = get


class Command(Resource):
    """Resource that does something."""

    allow = ("POST",)
    status = 202
    body: ClassVar[type[Body]]
    run: Callable[..., Awaitable[Body]]
    """Takes the decoded body of the request and the placeholders of the path. Returns the body of the response."""

    async def post(self, *path: str) -> None:
        """Decode the body and run the command. Only JSON is accepted, because forms of other sites cannot send it."""
        body, content_type = self.request.body, self.request.headers.get("Content-Type", "")
        if (body or content_type) and content_type.partition(";")[0].strip().lower() != JSON:
            raise ApiError(415, f"the body must be JSON, with Content-Type: {JSON}")
        try:
            decoded = msgspec.json.decode(body or b"{}", type=self.body)
        except ValueError as error:
            raise ApiError(400, f"invalid body: {error}") from None
        self.respond(await self.run(decoded, *path), self.status)
