"""Options that the user has set, even to their defaults."""

from types import SimpleNamespace

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from livegate.mitm.options import is_set


def test_an_option_that_was_set_to_its_default_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with taddons.context(Proxyserver()) as tctx:
        assert not is_set("http2")
        tctx.options.update(http2=True)
        assert is_set("http2")
        monkeypatch.setattr("livegate.mitm.options.optmanager", SimpleNamespace())
        assert not is_set("http2"), "the closest public check where mitmproxy has changed"
