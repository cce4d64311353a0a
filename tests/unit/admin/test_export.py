"""An exported session is one file: the page's modules joined to one, and what it would have asked for."""

import json
import re
from collections import Counter

from livegate.admin.export import FOLDER, LEFT_OUT, MODULES, Pages, asset, export_page

TOP = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)(.*)", re.MULTILINE)
MORE = re.compile(r", (\w+) = ")


def test_no_two_modules_have_a_name_in_common_and_each_imports_from_those_before_it() -> None:
    names: Counter[str] = Counter()
    for place, module in enumerate(MODULES):
        code = asset(module).decode()
        for name, rest in TOP.findall(code):
            names.update([name, *(MORE.findall(rest) if not rest.startswith("(") else ())])
        for imported in re.findall(r'from "\./([\w.]+)"', code):
            assert imported in MODULES[:place], f"{module} imports {imported}"
    assert [name for name, count in names.items() if count > 1] == []
    assert {each.name for each in FOLDER.iterdir() if each.name.endswith(".js")} == set(MODULES)


def test_the_file_needs_nothing_else_and_no_text_of_a_session_ends_the_script() -> None:
    hostile = '</script><script>alert("x")</script><!--'
    page = export_page({"session": {"view": hostile}, "frames": []}).decode()
    assert hostile not in page
    data = re.search(r'<script type="application/json" id="exported">(.*?)</script>', page, re.DOTALL)
    assert data
    assert json.loads(data[1])["session"]["view"] == hostile
    head = page.replace(data[0], "")
    assert not re.search(r'(?:src|href)="(?!data:|#)', head.partition('<script type="module">')[0])
    assert "import " not in head.partition('<script type="module">')[2].partition("</script>")[0].replace("@import", "")
    assert not re.search(r"^export ", head, re.MULTILINE)


def test_a_page_that_did_not_change_is_in_the_file_once() -> None:
    pages = Pages(20)
    frames = [
        {
            "line": {"n": 7},
            "changes": [],
            "raw": "1",
            "page": {"html": "<p>a</p>", "why": ""},
            "before": {"html": "", "why": "x"},
        },
        {
            "line": {"n": 8},
            "changes": ["x"],
            "raw": "2",
            "page": {"html": "<p>a</p>", "why": ""},
            "before": {"html": "<p>a</p>", "why": ""},
        },
        {
            "line": {"n": 9},
            "changes": [],
            "raw": "3",
            "page": {"html": "", "why": "lost"},
            "before": {"html": "<p>a</p>", "why": ""},
        },
    ]
    assert [pages.without(frame) for frame in frames] == [
        {"n": 7, "raw": "1", "changes": [], "page": 0, "why": ""},
        {"n": 8, "raw": "2", "changes": ["x"], "page": 0, "why": ""},
        {"n": 9, "raw": "3", "changes": [], "page": None, "why": "lost"},
    ]
    long = {"line": {"n": 10}, "changes": ["x"], "raw": "4", "page": {"html": "<p>another page</p>", "why": ""}}
    assert pages.without(long) == {"n": 10, "raw": "", "changes": [], "page": None, "why": LEFT_OUT}
    assert pages.texts == ["<p>a</p>"]
