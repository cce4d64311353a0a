"""Names and docstrings in the field's own words; the words and rules are those of CONTRIBUTING.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import livegate

PACKAGE = Path(livegate.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((PACKAGE / "admin" / "page").glob("*.js"))
OLD = frozenset(
    [
        "told",
        "tell",
        "tells",
        "heard",
        "desk",
        "shelf",
        "wardrobe",
        "lane",
        "lanes",
        "leg",
        "legs",
        "stranger",
        "strangers",
        "strange",
        "ill",
        "settle",
        "settled",
        "spoiled",
        "greet",
        "greeted",
        "dress",
        "dressed",
        "lifeline",
        "gatekeeper",
        "answer",
        "answers",
        "answered",
        "answering",
        "said",
        "say",
        "says",
        "unsaid",
        "quicken",
        "hurry",
        "somebody",
        "whoever",
        "mend",
        "learn",
        "learnt",
    ]
)
"""Words of everyday speech for which the field has a term."""
PHRASES = ("let_go", "go_on", "letgo", "goon", "hang_up")
CLAUSE = re.compile(
    r"(What|Whatever|Whoever|Who|Whom|Whose|How|Where|So (many|much|long)|That which|That (is|are|was)|Those (who|that|which))\b"
)
"""A docstring that begins with a clause instead of a noun or a verb."""


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)}


def old_words(name: str) -> bool:
    return bool(words_of(name) & OLD) or any(phrase in name.strip("_").lower() for phrase in PHRASES)


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return names that are defined or assigned here, with their lines; names of other libraries are only used."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return all docstrings, those of attributes and constants too, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for each in node.body:
                if (
                    isinstance(each, ast.Expr)
                    and isinstance(each.value, ast.Constant)
                    and isinstance(each.value.value, str)
                ):
                    yield each.lineno, each.value.value


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_identifiers_are_the_fields_own_words(module: Path) -> None:
    assert not [*words_of(module.stem) & OLD]
    assert not [f"{line}: {name}" for line, name in identifiers(ast.parse(module.read_text())) if old_words(name)]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_docstrings_begin_with_a_noun_or_a_verb(module: Path) -> None:
    assert not [
        f"{line}: {text[:60]}" for line, text in docstrings(ast.parse(module.read_text())) if CLAUSE.match(text)
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_identifiers_of_the_page_are_the_fields_own_words(script: Path) -> None:
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", script.read_text(), flags=re.DOTALL)
    declared = re.findall(r"\b(?:function|const|let|class)\s+(\w+)", code)
    assert not [name for name in declared if old_words(name)]


def test_the_guard_sees_what_it_is_for() -> None:
    tree = ast.parse('class Desk:\n    """What is asked."""\n\n    def ask(self, sessionsTold): ...\n')
    assert [name for _, name in identifiers(tree) if old_words(name)] == ["Desk", "sessionsTold"]
    assert [text for _, text in docstrings(tree) if CLAUSE.match(text)] == ["What is asked."]
    assert not old_words("legend")
    assert not CLAUSE.match("Whether the socket is open.")
