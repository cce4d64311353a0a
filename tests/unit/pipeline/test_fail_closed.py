"""A policy hook that raises lets no request through."""

from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import http

from livegate.pipeline.fail_closed import fail_closed


def test_a_hook_that_raises_responds_500_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Addon:
        @fail_closed
        def requestheaders(self, made: http.HTTPFlow) -> None:
            raise ZeroDivisionError

    for record in (True, False):
        made = flow()
        if record:
            begun(made, settings(tmp_path))
        made.request.stream = True
        Addon().requestheaders(made)
        assert made.response
        assert made.response.status_code == 500
        assert made.request.stream is False
    assert "Addon.requestheaders failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text
