"""Entry of this package: tracks sockets between browsers and Phoenix servers, frame by frame.

The caller carries the frames and passes them in with times of its own clock. This package opens no connection, never
waits, and never raises because of its input.
"""

from livegate.phoenix.frames import Vsn
from livegate.phoenix.model import ConnectInfo, SocketInfo, Transport
from livegate.phoenix.page_html import client_of_url, csrf_of_url, vsn_of_url
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.store import SessionStore


class Tracker(SessionStore):
    """All sessions of a process, and the factory of socket trackers."""

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
        """Return the tracker of a socket that was opened by a request for this URL.

        `cookie` says whether the request had a cookie, None if unknown; `host` is the browser's; `vsn` is the
        serializer of the frames, by default that of the URL.
        """
        vsn = vsn or vsn_of_url(url)
        info = SocketInfo(transport, vsn or "?", at, id_)
        connect_info = ConnectInfo(bool(csrf_of_url(url)), cookie, client_of_url(url))
        return SocketTracker(self, info, vsn, connect_info, url=url, host=host.lower())
