"""Follows the frames between browsers and LiveView servers; the entry of this package.

A caller that carries frames passes them in, with times of its own clock. Nothing here opens a connection, waits, or
raises because of its input.
"""

from livegate.phoenix.frames import Vsn
from livegate.phoenix.model import ConnectInfo, SocketInfo, Transport
from livegate.phoenix.page_html import client_of_url, csrf_of_url, vsn_of_url
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.store import SessionStore


class Tracker(SessionStore):
    """All sessions of a process, and the way to follow another socket."""

    def open(
        self,
        url: str,
        at: float,
        transport: Transport = "websocket",
        id_: str = "",
        *,
        cookie: bool | None = None,
        host: str = "",
        vsn: Vsn | None = None,
    ) -> SocketTracker:
        """A socket was opened by a request for this URL; what comes on it goes to the value that is returned.

        `cookie` is whether the request had any, if that is known; `host` the one that the browser named; `vsn` the
        serializer that its frames have, if that is known, else the URL says.
        """
        vsn = vsn or vsn_of_url(url)
        info = SocketInfo(transport, vsn or "?", at, id_)
        connect_info = ConnectInfo(bool(csrf_of_url(url)), cookie, client_of_url(url))
        return SocketTracker(self, info, vsn, connect_info, url=url, host=host.lower())
