"""YAML with lines, variables and bounds."""

from pathlib import Path

import pytest
from settings_files import SERVICE, load, problems

from livegate.settings import yaml_document


def test_variables_are_substituted(tmp_path: Path) -> None:
    text = "services: {a.test: 'http://${HOST}:${PORT}'}\nlimits: {headers: '${COUNT}'}\nlog: {level: '${LEVEL}'}\n"
    environ = {"HOST": "127.0.0.1", "PORT": "4000", "COUNT": "7", "LEVEL": "error"}
    settings = load(tmp_path, text, environ)
    assert settings.services[0].backend.url == "http://127.0.0.1:4000"
    assert (settings.limits.headers, settings.log.level) == (7, "error")
    assert problems(tmp_path, "services: {a.test: '$${HOST}'}\n", environ)[0].count("'${HOST}'") == 1


def test_a_huge_file_or_document_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_document, "MAX_NODES", 50)
    bomb = "a: &a [1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\n"
    assert any("50 values" in problem for problem in problems(tmp_path, bomb + SERVICE))
    monkeypatch.setattr(yaml_document, "MAX_FILE_BYTES", 10)
    assert any("at most 10 bytes" in problem for problem in problems(tmp_path, SERVICE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7), ("-7", -7), ("0x10", 16), ("1_000", 1000), ("0_", 0), ("9" * 5000, "9" * 5000), ("1.5", "1.5"), ("2026-11-28", "2026-11-28"),
        ("yes", True), ("off", False), ("~", None), ("", None), ("null", None), ("'7'", "7"), ('"null"', "null"), ("text", "text"),
        ("!!str 7", "7"), ("!!int x", "x"), ("!!bool x", "x"), ("!other 7", "7"), ("${N}", 7), ("'${N}'", 7), ("${T}", True), ("a${N}", "a7"), ("$${N}", "${N}"),
    ],
)  # fmt: skip
def test_scalars_are_text_whole_numbers_booleans_or_null(text: str, expected: object) -> None:
    document = yaml_document.read(f"key: {text}\n".encode(), "f", {"N": "7", "T": "true"})
    assert not document.problems
    assert document.data == {"key": expected}
    assert type(document.data["key"]) is type(expected)


def test_lines_are_those_of_the_keys() -> None:
    document = yaml_document.read(b"a:\n  b: 1\n\n  c:\n  - x\n  - y\n", "f", {})
    assert document.lines == {(): 1, ("a",): 1, ("a", "b"): 2, ("a", "c"): 4, ("a", "c", 0): 5, ("a", "c", 1): 6}
    document.problem(("a", "c", 1, "deeper"), "x", "y")
    document.problem(("a", "d"), "x", "y")
    assert [(each.line, each.key) for each in document.problems] == [(6, "a.c.1.deeper"), (1, "a.d")]


def test_unset_variables_are_problems_and_their_keys_are_skipped() -> None:
    document = yaml_document.read(b"a: ${NOPE}\nb: {c: 'x${NOPE}'}\n", "f", {})
    assert document.unresolved == {("a",), ("b", "c")}
    assert [str(each) for each in document.problems] == [
        "f:1: a: found '${NOPE}', allowed: an environment variable that is set; NOPE is not set",
        "f:2: b.c: found '${NOPE}', allowed: an environment variable that is set; NOPE is not set",
    ]
