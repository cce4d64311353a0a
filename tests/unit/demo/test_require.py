"""The demo says what to install when its libraries are missing."""

import importlib.util

import pytest

from livegate import demo


def test_with_the_extra_installed_nothing_is_required() -> None:
    demo.require()


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyview" else found(name))
    with pytest.raises(demo.DemoUnavailableError, match=r"^pyview not installed: pip install 'livegate\[demo\]'$"):
        demo.require()
