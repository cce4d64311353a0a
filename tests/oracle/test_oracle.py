"""Our rendered tree beside LiveView's own renderers, of five versions, in node: the same HTML after every diff."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from generator import VERSIONS, sequence

from livegate.phoenix import frames
from livegate.phoenix.rendered.tree import Tree

HERE = Path(__file__).parent
SEQUENCES = int(os.environ.get("LIVEGATE_ORACLE", "120"))
"""Of each version."""
STEPS = 10
TRACES = Path(os.environ.get("LIVEGATE_TRACES") or HERE.parents[2] / "shared" / "traces")
_OF_TRACE = {"lv-0.18": "lv018", "lv-0.20": "lv020", "lv-1.1.": "lv11", "pyview-": "lv020"}
_TAG = re.compile(r"<([a-zA-Z][\w-]*)((?:\s[^<>]*)?)>")
_ATTRIBUTE = re.compile(r'\s+([\w:-]+)(="[^"]*")?')
_MAGIC = {"data-phx-component", "data-phx-id", "data-phx-skip", "data-phx-view"}


def normalised(html: str) -> str:
    """Without the attributes by which the client finds its components again."""

    def tag(match: re.Match[str]) -> str:
        kept = sorted(name + value for name, value in _ATTRIBUTE.findall(match[2]) if name not in _MAGIC)
        return f"<{' '.join([match[1], *kept])}>"

    return _TAG.sub(tag, html)


class Oracle:
    """A node process that renders."""

    def __init__(self) -> None:
        command = ["node", str(HERE / "oracle.mjs")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def html(self, version: str, steps: list[Any]) -> list[Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"version": version, "steps": steps}) + "\n")
        self._process.stdin.flush()
        found: list[Any] = json.loads(self._process.stdout.readline())
        return found

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture(scope="session")
def oracle(npm_packages: Path) -> Iterator[Oracle]:
    assert (npm_packages / "lv12").is_dir()
    made = Oracle()
    yield made
    made.end()


def compare(oracle: Oracle, version: str, steps: list[Any]) -> int:
    """Go through a sequence on both sides; returns how many pages were compared."""
    tree: Tree | None = None
    count = 0
    for number, (step, expected) in enumerate(zip(steps, oracle.html(version, steps), strict=True)):
        if "destroy" in step:
            assert tree is not None
            tree.delete_components(step["destroy"])
            continue
        assert isinstance(expected, str), f"the oracle failed at step {number}: {expected}"
        if tree is None:
            tree = Tree.join(step)
        else:
            tree.merge(step)
        assert normalised(tree.html(streams=False)) == normalised(expected), f"{version}, step {number}: {step}"
        count += 1
    return count


@pytest.mark.parametrize("version", VERSIONS)
def test_generated_pages_are_rendered_as_the_client_renders_them(oracle: Oracle, version: str) -> None:
    count = sum(compare(oracle, version, sequence(seed, version, STEPS)) for seed in range(SEQUENCES))
    assert count == SEQUENCES * (STEPS + 1)


def test_recorded_pages_are_rendered_as_the_client_renders_them(oracle: Oracle) -> None:
    if not TRACES.is_dir():
        pytest.skip(f"no recordings of genuine sessions in {TRACES}: set LIVEGATE_TRACES")
    count = 0
    for trace in sorted(TRACES.glob("*.jsonl")):
        version = _OF_TRACE[trace.name[:7]]
        count += sum(compare(oracle, version, steps) for steps in recorded(trace))
    assert count > 100


def recorded(trace: Path) -> list[list[Any]]:
    """What a server said of each LiveView of a recording: joins, diffs, and the components that went."""
    found: dict[tuple[object, ...], list[Any]] = {}
    for line in trace.read_text().splitlines():
        entry = json.loads(line)
        if entry["ev"] != "msg" or entry["dir"] != "s2c":
            continue
        data = base64.b64decode(entry["data"]) if entry["op"] == 2 else entry["data"].encode()
        frame = frames.decode(data, text=entry["op"] == 1, from_client=False, vsn="2")
        assert isinstance(frame, frames.Frame)
        assert isinstance(frame.payload, dict)
        key = (entry["conn"], frame.topic, frame.join_ref)
        response = frame.payload.get("response", {}) if frame.event == "phx_reply" else {}
        if "rendered" in response:
            found[key] = [response["rendered"]]
        elif key in found and "diff" in response:
            found[key].append(response["diff"])
        elif key in found and "cids" in response:
            found[key].append({"destroy": response["cids"]})
        elif key in found and frame.event == "diff":
            found[key].append(frame.payload)
    return list(found.values())
