"""The schema for editors, and the files in configs/ that use it."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from livegate.settings import json_schema, load_settings

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


@pytest.mark.parametrize("name", ["gateway.yaml", "staging.example.yaml"])
def test_the_files_in_configs_are_good_and_fit_their_schema(name: str) -> None:
    settings = load_settings(CONFIGS / name, {})
    assert settings.services
    jsonschema.validate(yaml.safe_load((CONFIGS / name).read_text()), json_schema())


def test_the_schema_in_configs_is_the_one_of_the_code() -> None:
    assert json.loads((CONFIGS / "gateway.schema.json").read_text()) == json_schema()
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "text", ["listen: 8080", "limits: {head: 3}", "servces: {}", "services: {a: {bakend: x}}", "log: {format: xml}"]
)
def test_an_editor_with_the_schema_sees_the_same_mistakes(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema())
