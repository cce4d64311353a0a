"""The settings as values for the admin API."""

import json
from pathlib import Path

from certificates import Authority
from livegate.settings import load_settings, public_values


def test_public_values_are_json_without_secrets(tmp_path: Path) -> None:
    Authority().write(tmp_path / "a.pem", "a.test")
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "services: {a.test: http://127.0.0.1:4000}\n"
        "tls: {certificates: {a.test: a.pem}}\n"
        "admin: {token: hunter2hunter2hunter2}\n"
        "tracing: {headers: {X-Key: hunter2}}\n"
    )
    values = public_values(load_settings(file, {}))
    text = json.dumps(values)
    assert "hunter2" not in text
    assert "PRIVATE KEY" not in text
    assert values["listen"] == "127.0.0.1:8080"
    assert values["rate_limit"]["user"] == "100/minute"
    assert values["admin"]["token"] == "set"
    assert values["tracing"] == {
        "endpoint": "http://127.0.0.1:4318/v1/traces",
        "sample": 1.0,
        "service_name": "livegate",
    }
    assert [each["pattern"] for each in values["tls"]["certificates"]] == ["a.test"]
    assert values["services"][0]["backend"] == {"scheme": "http", "host": "127.0.0.1", "port": 4000}
    assert "routes" not in values
