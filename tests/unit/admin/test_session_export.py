"""Export of a session as one file: the modules of the page joined to one, and the data."""

import json
import re
from collections import Counter

import msgspec

from livegate.admin.bodies import Frame, FrameDetail, PageHtml
from livegate.admin.session_export import FOLDER, LEFT_OUT, MODULES, Pages, asset, export_page

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


def frame(number: int, html: str, raw: str, why: str = "") -> FrameDetail:
    line = msgspec.convert(dict.fromkeys(Frame.__struct_fields__, "") | NUMBERS | {"n": number}, Frame, strict=False)
    return FrameDetail(line, raw, ["x"], PageHtml(html, why), PageHtml("", "x"))


NUMBERS = {"at": 1.0, "session": 1, "size": 1, "diff": 0, "ms": None, "kind": "frame", "dir": "up"}


def test_a_page_that_did_not_change_is_in_the_file_once() -> None:
    pages = Pages(20)
    frames = [frame(7, "<p>a</p>", "1"), frame(8, "<p>a</p>", "2"), frame(9, "", "3", "lost")]
    assert [pages.add(each) for each in frames] == [
        {"n": 7, "raw": "1", "changes": ["x"], "page": 0, "why": ""},
        {"n": 8, "raw": "2", "changes": ["x"], "page": 0, "why": ""},
        {"n": 9, "raw": "3", "changes": ["x"], "page": None, "why": "lost"},
    ]
    without_content = {"n": 10, "raw": "", "changes": [], "page": None, "why": LEFT_OUT}
    assert pages.add(frame(10, "<p>another page</p>", "4")) == without_content
    assert pages.texts == ["<p>a</p>"]
