"""What a socket's URL tells."""

import pytest

from livegate.phoenix.page_html import csrf_of_url, is_socket_url, vsn_of_url

LONG = "&".join(f"a{n}=1" for n in range(300))


@pytest.mark.parametrize(
    ("url", "socket", "csrf", "vsn"),
    [
        ("/live/websocket?_csrf_token=x&vsn=2.0.0", True, True, "2"),
        ("/live/websocket?_csrf_token=&vsn=2.0.0", True, False, "2"),
        ("/live/websocket?vsn=3.0.0", True, False, None),
        ("/live/websocket", False, False, "1"),
        ("/live/websocket/more?vsn=2.0.0", False, False, "2"),
        ("/live/longpoll?vsn=2.0.0&_csrf_token=x", False, True, "2"),
        ("/page?next=/live/websocket&vsn=2.0.0", False, False, "2"),
        (f"/live/websocket?vsn=2.0.0&_csrf_token=x&{LONG}", False, False, None),
        ("//[/websocket?vsn=2.0.0", False, False, None),
    ],
)
def test_the_parameters_of_a_socket_url(url: str, *, socket: bool, csrf: bool, vsn: str | None) -> None:
    assert (is_socket_url(url), bool(csrf_of_url(url)), vsn_of_url(url)) == (socket, csrf, vsn)
