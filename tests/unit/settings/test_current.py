"""The settings in force, and who is called on a reload."""

from pathlib import Path

import pytest
from settings_files import SERVICE, load

from livegate.settings import CurrentSettings, Settings


def test_before_the_first_load_there_are_none() -> None:
    current = CurrentSettings()
    assert not current.loaded
    with pytest.raises(RuntimeError, match="no settings are loaded"):
        _ = current.value
    assert not current.ready.is_set()


def test_observers_are_called_on_a_reload_but_not_on_the_first_load(tmp_path: Path) -> None:
    first, second = load(tmp_path, SERVICE), load(tmp_path, SERVICE + "log: {level: error}\n")
    current, seen = CurrentSettings(), list[Settings]()
    current.on_change(seen.append)
    current.value = first
    assert seen == []
    current.value = second
    assert seen == [second]
    assert current.value is second
