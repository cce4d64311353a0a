"""Which layers a connection gets, and which connections are refused."""

import asyncio
from pathlib import Path

import pytest
from flows import settings
from mitmproxy import exceptions, options
from mitmproxy.connection import Server
from mitmproxy.proxy import layer, server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from livegate import mitm
from livegate.mitm.layers.http import GatewayHttpLayer
from livegate.pipeline.next_layer import GatewayNextLayer
from livegate.pipeline.policy import RequestPolicy
from livegate.settings import CurrentSettings
from livegate.websocket.registry import SocketRegistry


def connection(mode: str = "reverse:http://livegate.invalid:1") -> Context:
    client = tflow.tclient_conn()
    client.proxy_mode = ProxyMode.parse(mode)
    return Context(client, options.Options())


def next_layer_addon(tmp_path: Path) -> GatewayNextLayer:
    current = CurrentSettings(settings(tmp_path))
    current.ready.set()
    return GatewayNextLayer(
        RequestPolicy(current, SocketRegistry(), lambda client: None, lambda client, refusal, size: None), current.ready
    )


async def test_a_client_of_another_mode_is_refused(tmp_path: Path) -> None:
    addon = next_layer_addon(tmp_path)
    other = connection("regular").client
    await addon.client_connected(other)
    assert other.error
    own = connection().client
    await addon.client_connected(own)
    assert own.error is None


async def test_a_client_waits_until_the_gateway_is_ready(tmp_path: Path) -> None:
    current = CurrentSettings(settings(tmp_path))
    addon = GatewayNextLayer(
        RequestPolicy(current, SocketRegistry(), lambda client: None, lambda client, refusal, size: None), current.ready
    )
    waiting = asyncio.create_task(addon.client_connected(connection().client))
    await asyncio.sleep(0)
    assert not waiting.done()
    current.ready.set()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize(
    ("mode", "address", "allowed"),
    [
        ("reverse:http://livegate.invalid:1", ("127.0.0.1", 4000), True),
        ("reverse:http://livegate.invalid:1", ("livegate.invalid", 1), False),
        ("reverse:http://livegate.invalid:1", None, False),
        ("regular", ("127.0.0.1", 4000), False),
    ],
)
def test_no_connection_is_made_to_the_black_hole_or_in_another_mode(
    tmp_path: Path, mode: str, address: tuple[str, int] | None, allowed: bool
) -> None:
    data = server_hooks.ServerConnectionHookData(Server(address=address), connection(mode).client)
    next_layer_addon(tmp_path).server_connect(data)
    assert (data.server.error is None) is allowed


def next_layer(data: bytes) -> layer.NextLayer:
    context = connection()
    modes.ReverseProxy(context)
    chosen = layer.NextLayer(context)
    if data:
        chosen.events.append(DataReceived(context.client, data))
    return chosen


def test_the_gateways_layer_is_chosen_for_plain_and_tls(tmp_path: Path) -> None:
    addon = next_layer_addon(tmp_path)
    plain, secure, empty = next_layer(b"GET "), next_layer(b"\x16\x03\x01\x00"), next_layer(b"")
    for chosen in (plain, secure, empty):
        addon.next_layer(chosen)
    assert isinstance(plain.layer, GatewayHttpLayer)
    assert isinstance(secure.layer.child_layer, GatewayHttpLayer)  # type: ignore[union-attr]
    assert empty.layer is None
    with pytest.raises(exceptions.AddonHalt):
        addon.next_layer(next_layer(b"\x16"))


def test_other_layers_are_left_to_mitmproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    addon = next_layer_addon(tmp_path)
    other = layer.NextLayer(connection())
    addon.next_layer(other)
    assert other.layer is None
    monkeypatch.setattr(mitm, "INCOMPATIBILITIES", ("something is missing",))
    unknown = next_layer(b"GET ")
    addon.next_layer(unknown)
    assert unknown.layer is None
