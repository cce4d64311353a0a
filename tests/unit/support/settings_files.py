"""Writes settings files for tests, and loads them."""

from pathlib import Path
from typing import Any

import pytest

from livegate.settings import Settings, SettingsError, load_settings

SERVICE = "services: {a.test: http://127.0.0.1:4000}\n"


def load(folder: Path, text: str, environ: dict[str, str] | None = None, **options: Any) -> Settings:
    """Return the settings of a file with this text."""
    file = folder / "gateway.yaml"
    file.write_text(text)
    return load_settings(file, environ or {}, **options)


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return the problems of a file with this text, from the line on: `:3: log.level: found …`."""
    with pytest.raises(SettingsError) as raised:
        load(folder, text, environ)
    assert str(raised.value) == "\n".join(map(str, raised.value.problems))
    return [str(problem).partition("gateway.yaml")[2] or str(problem) for problem in raised.value.problems]
