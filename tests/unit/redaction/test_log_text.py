"""What others write about a flow, without the flow's secrets."""

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from livegate.redaction.log_text import LogTextRedactor
from livegate.redaction.redactor import Redactor

CANARY = "CANARYcanary0123456789"


def flow(method: str = "GET", path: str = "/", body: bytes = b"", **fields: str) -> http.HTTPFlow:
    made = tflow.tflow(resp=True)
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    made.request = http.Request.make(method, f"http://app.test{path}", body, headers)
    return made


@pytest.mark.parametrize(
    "carrier",
    [
        flow(Cookie=f"theme=dark; _app_key={CANARY}"),
        flow(Authorization=f"Bearer {CANARY}"),
        flow(Authorization=CANARY),
        flow(X_Api_Key=CANARY),
        flow(Sec_WebSocket_Protocol=f"phoenix, base64url.bearer.phx.{CANARY}"),
        flow(path=f"/a?anything={CANARY}"),
        flow(path=f"/a?anything={'%43' + CANARY[1:]}"),
        flow("POST", "/", f"user[password]={CANARY}&x=1".encode(), Content_Type="application/x-www-form-urlencoded"),
    ],
)
def test_a_secret_that_the_flow_carries_is_found_word_for_word(carrier: http.HTTPFlow) -> None:
    found = LogTextRedactor(Redactor())(f"cannot read '{CANARY}', nor {CANARY}", carrier)
    assert CANARY not in found
    assert found.startswith("cannot read '⟪redacted-22-chars-")


def test_cookies_of_the_response_are_secrets_too() -> None:
    carrier = flow()
    assert carrier.response
    carrier.response.headers["Set-Cookie"] = f"a={CANARY}; Path=/; SameSite=Strict"
    found = LogTextRedactor(Redactor())(f"bad {CANARY} Strict", carrier)
    assert CANARY not in found
    assert found.endswith(" Strict")


def test_what_looks_like_a_secret_is_found_without_a_flow() -> None:
    free_text = LogTextRedactor(Redactor())
    found = free_text(f"token={CANARY} of SFMyNTY.{CANARY}.x at http://a.test/?sid={CANARY}", None)
    assert CANARY not in found
    assert free_text("502 backend-broken: nothing came", None) == "502 backend-broken: nothing came"


def test_short_and_harmless_values_stay_and_other_bodies_are_not_read() -> None:
    free_text = LogTextRedactor(Redactor())
    assert free_text("a=1, b, json", flow(path="/?v=1&w=b", Cookie="c=json")) == "a=1, b, json"
    json_body = flow("POST", "/", f'{{"password": "{CANARY}"}}'.encode(), Content_Type="application/json")
    assert CANARY in free_text(CANARY, json_body)
    assert CANARY not in free_text(f'{{"password": "{CANARY}"}}', json_body), "but what it looks like is enough here"
    form = f"user[password]={CANARY}&name=long-enough".encode()
    found = free_text("long-enough", flow("POST", "/", form, Content_Type="application/x-www-form-urlencoded"))
    assert found == "long-enough"
    large = flow("POST", "/", form + b"x" * 70_000, Content_Type="application/x-www-form-urlencoded")
    assert free_text(CANARY, large) == CANARY


def test_a_flow_without_a_response_is_accepted_and_a_redactor_that_is_off_changes_nothing() -> None:
    carrier = flow(Cookie=f"a={CANARY}")
    carrier.response = None
    redactor = Redactor()
    assert CANARY not in LogTextRedactor(redactor)(CANARY, carrier)
    redactor.enabled = False
    assert LogTextRedactor(redactor)(CANARY, carrier) == CANARY
