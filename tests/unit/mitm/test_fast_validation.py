"""The quick check of requests and responses refuses what mitmproxy's own refuses, and nothing else."""

from collections.abc import Iterator

import pytest
from mitmproxy import http
from mitmproxy.test import tutils

from livegate.mitm import fast_validation


@pytest.fixture(params=["quick", "stock"])
def checked(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "quick":
        fast_validation.install()
    yield
    fast_validation.uninstall()


@pytest.mark.usefixtures("checked")
def test_right_types_pass() -> None:
    class OwnHeaders(http.Headers):
        pass

    assert tutils.treq(content=None, timestamp_end=None).path == "/path"
    assert tutils.tresp(trailers=None, headers=OwnHeaders()).status_code == 200
    assert tutils.treq(port=True).port is True, "a bool is an int"
    assert http.Response.make(200, b"", {"a": "b"}).headers["a"] == "b"


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (tutils.treq, {"host": b"bytes"}),
        (tutils.treq, {"port": "80"}),
        (tutils.treq, {"method": "GET"}),
        (tutils.treq, {"headers": ((b"a", b"b"),)}),
        (tutils.treq, {"content": "text"}),
        (tutils.tresp, {"status_code": "200"}),
        (tutils.tresp, {"reason": "OK"}),
        (tutils.tresp, {"trailers": {}}),
    ],
)
def test_wrong_types_are_refused(make: object, fields: dict[str, object]) -> None:
    kind = http.RequestData if make is tutils.treq else http.ResponseData
    good = tutils.treq().data if make is tutils.treq else tutils.tresp().data
    with pytest.raises((AssertionError, TypeError, ValueError)):
        kind(**(vars(good) | fields))
