"""Documents agree with the code: links, file names, settings, commands, options, slugs."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import livegate
from livegate.cli.app import app
from livegate.settings import load_settings

CHECKOUT = Path(__file__).parents[2]
PACKAGE = Path(livegate.__file__).parent
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
IDS = [path.relative_to(CHECKOUT).as_posix() for path in DOCUMENTS]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
SETTINGS = set(yaml.safe_load((CHECKOUT / "configs" / "gateway.schema.json").read_text())["properties"])


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of one language, without their indentation."""
    found = [match for match in BLOCK.finditer(document.read_text()) if match[2] == language]
    return [re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE) for match in found]


def commands(document: Path) -> list[str]:
    lines = "\n".join(blocks(document, "sh")).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`((?:livegate|make|mitmdump|mitmweb) [^`]+)`", document.read_text())
    return [line.partition("  #")[0].strip() for line in [*lines, *inline] if line.strip()]


def anchors(document: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), target


@each_document
def test_no_line_is_left_of_a_move(document: Path) -> None:
    """Files and folders that a document names are there."""
    text = document.read_text()
    for name in re.findall(r"`((?:addons|tests|docs|configs|scripts)/[\w/.-]+)`", text):
        assert (CHECKOUT / name).exists(), name
    packages = "|".join(path.name for path in PACKAGE.iterdir() if path.is_dir())
    for name in re.findall(rf"`((?:{packages})/[\w/]*(?:\.py)?)`", text):
        assert (PACKAGE / name).exists(), name


@each_document
def test_settings_in_documents_are_good(document: Path, tmp_path: Path) -> None:
    for text in blocks(document, "yaml"):
        content = yaml.safe_load(text)
        if not isinstance(content, dict) or not set(content) <= SETTINGS:
            assert "containers" in content, text  # another program's file
            continue
        content.setdefault("services", {"default": "http://127.0.0.1:4000"})
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml.safe_dump(content))
        for name in re.findall(r"[\w./-]+\.pem", text):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if ".pem" in text:
            continue  # the files are the reader's
        load_settings(file, dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "x" * 32))


@each_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(document):
        words = shlex.split(command)
        if words[0] == "make":
            assert words[1] in targets, command


@each_document
def test_commands_have_the_options_that_documents_give_them(document: Path) -> None:
    root: Any = typer.main.get_command(app)
    for command in commands(document):
        if "…" in command or "[" in command or "|" in command:
            continue  # a synopsis
        words = shlex.split(command.removesuffix("&").replace(".venv/bin/", ""))
        if words[0] != "livegate" or words[1].startswith("-"):
            continue
        name, *arguments = words[1:]
        assert name in root.commands, command
        options = {option for parameter in root.commands[name].params for option in parameter.opts}
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        for argument in ours:
            if argument.startswith("-"):
                assert argument in options, command


@each_document
def test_options_of_mitmproxy_that_documents_name_are_ours(document: Path) -> None:
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    for name in re.findall(r"--set ([a-z_]+)=", document.read_text()):
        assert re.search(rf'add_option\(\s*"{name}"', source), name
    for name in re.findall(r"`(liveview\.\w+)", document.read_text()):
        span = name in {"liveview.session", "liveview.socket", "liveview.join", "liveview.event", "liveview.patch"}
        assert span or "tracing" in document.name or f'"{name}"' in source, name


@each_document
def test_python_in_documents_compiles(document: Path) -> None:
    for text in blocks(document, "python"):
        ast.parse(text)


def test_every_refusal_of_a_head_is_explained() -> None:
    docs = CHECKOUT / "docs"
    reasons = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", (docs / "reference" / "metrics.md").read_text()))
    source = "".join(path.read_text() for path in (PACKAGE / "http1").glob("*.py"))
    of_heads = {slug for slug in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source) if slug in reasons}
    assert len(of_heads) > 12
    assert of_heads <= set(re.findall(r"`([a-z-]+)`", (docs / "topics" / "request-heads.md").read_text()))
