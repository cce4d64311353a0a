"""Options of mitmproxy that would be unsafe in a gateway, and the gateway's mode."""

import logging
from types import SimpleNamespace

import pytest
from mitmproxy import exceptions
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow

from livegate.pipeline.reverse_mode import MODE, all_are_gateway_modes, is_reverse
from livegate.pipeline.safe_options import SafeOptions


def test_unsafe_defaults_are_replaced() -> None:
    addon = SafeOptions()
    with taddons.context(Proxyserver()) as context:
        assert context.options.http2
        addon.load(SimpleNamespace())  # type: ignore[arg-type]
        assert not context.options.http2
        assert context.options.connection_strategy == "lazy"


def test_an_unsafe_option_of_the_user_is_an_error_and_is_not_overruled(caplog: pytest.LogCaptureFixture) -> None:
    with taddons.context(Proxyserver()) as context:
        context.options.update(http2=True, body_size_limit="1m")
        SafeOptions().running()
        assert context.options.http2
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["option http2=True is unsafe for a gateway, which needs False: remove it"]
    assert "option body_size_limit is ignored: use `limits.body` in the settings" in caplog.text


@pytest.mark.parametrize("change", [{"http2": True}, {"mode": ["regular"]}, {"mode": ["reverse:http://a.test"]}])
def test_an_unsafe_change_is_refused_while_the_gateway_runs(change: dict[str, object]) -> None:
    addon = SafeOptions()
    with taddons.context(Proxyserver()) as context:
        addon.configure({"mode"})
        context.options.update(mode=[f"{MODE}@8080"])
        addon.running()
        context.options.update(**change)
        with pytest.raises(exceptions.OptionsError):
            addon.configure({*change})


def test_the_gateways_modes_and_clients_are_recognized() -> None:
    assert all_are_gateway_modes([MODE, f"{MODE}@127.0.0.1:80"])
    assert not all_are_gateway_modes([f"{MODE}0@80"])
    client = tflow.tclient_conn()
    assert not is_reverse(client)
    client.proxy_mode = ProxyMode.parse(f"{MODE}@80")
    assert is_reverse(client)
