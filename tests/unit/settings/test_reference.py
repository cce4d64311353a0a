"""The generated files and the annotated example: current, valid, and with the true defaults."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from livegate.settings import SettingsError, load_settings
from livegate.settings.schema import Section, SettingsFile
from livegate.settings.yaml_document import read

CHECKOUT = Path(__file__).resolve().parents[3]
REFERENCE = CHECKOUT / "docs" / "reference" / "settings.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)


def script() -> Any:
    spec = importlib.util.spec_from_file_location("settings_reference", CHECKOUT / "scripts" / "settings_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_files_are_current() -> None:
    for file, text in script().generated().items():
        assert file.read_text() == text, f"{file.name} is out of date: run `make docs`"


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_of_the_reference_is_valid(example: str) -> None:
    environ = {"LIVEGATE_ADMIN_TOKEN": "0123456789abcdef", "COLLECTOR_KEY": "key"}
    document = read(example.encode(), "example", environ)
    assert not document.problems
    SettingsFile.model_validate(document.data)


def test_the_reference_has_an_example_of_each_section_and_a_row_of_each_key() -> None:
    text = REFERENCE.read_text()

    def sections(model: type[Section]) -> set[type[Section]]:
        values = [key.get_default(call_default_factory=True) for key in model.model_fields.values()]
        return {model}.union(*(sections(type(value)) for value in values if isinstance(value, Section)))

    keys = {key for section in sections(SettingsFile) for key in section.model_fields}
    assert len(keys) > 40
    assert all(f"| `{key}` |" in text for key in keys)
    assert text.count("```yaml") == text.count("\n## ") - 1, "all but the types"


def test_the_problem_that_the_reference_shows_is_the_one_that_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "gateway.yaml"
    file.write_text("services: {a.test: http://127.0.0.1:4000}\nlog: {level: loud}\n")
    with pytest.raises(SettingsError) as raised:
        load_settings(file, {})
    assert f"```\n{raised.value}\n```" in REFERENCE.read_text()


def test_the_annotated_example_shows_every_key_with_its_default() -> None:
    text = (CHECKOUT / "configs" / "gateway.yaml").read_text()
    shown = yaml.safe_load(
        re.sub(r"^( *)# ( *[a-z\"*].*: ?.*)$", r"\1\2", text.partition("\n\n")[2], flags=re.MULTILINE)
    )
    shown["services"].pop("default")
    assert set(shown) == set(SettingsFile.model_fields)
    assert set(shown["services"]["api.example.com"]) | {"websocket"} == {
        "backend", "host", "origin", "tls", "timeouts", "rate_limit", "websocket",
    }  # fmt: skip
    file = SettingsFile.model_validate({**read(yaml.safe_dump(shown).encode(), "example", {}).data, "services": {}})
    assert file == SettingsFile(admin={}, tracing={})
    for name, section in shown.items():
        model = getattr(file, name)
        if isinstance(model, Section):
            assert set(section) == set(type(model).model_fields), name
