"""docs/reference/metrics.md names every metric, label, reason and drop that there is, and no other."""

import ast
import re
from pathlib import Path
from typing import Any

from mitmproxy.test import taddons
from prometheus_client.parser import text_string_to_metric_families

import livegate
from livegate.addons import gateway_addons
from livegate.observe.metrics.addon import Metrics
from livegate.observe.metrics.instruments import Instruments
from livegate.observe.metrics.labels import reason_label

DOCUMENT = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text()
ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|([^|]*)\| [^|]+ \|$", re.MULTILINE)


def _shown() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and labels by name, of what the registry has."""
    made = Instruments()
    groups = (made.http, made.sockets, made.liveview, made.own)
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for metric in (each for group in groups for each in vars(group).values()):
        name = metric._name + ("_total" if metric._type == "counter" else "")
        found[name] = (metric._type, metric._labelnames)
    for family in made.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        if name not in found:
            labels = {label for sample in family.samples for label in sample.labels}
            found[name] = (family.type, tuple(sorted(labels)))
    return found


def test_every_metric_is_documented_with_its_type_and_labels_and_none_besides() -> None:
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(DOCUMENT)}
    assert len(ROW.findall(DOCUMENT)) == len(documented)
    assert DOCUMENT.count("\n| `") == len(documented), "a row that is not understood"
    assert documented == _shown()


def test_every_drop_that_is_counted_is_documented() -> None:
    with taddons.context(loadcore=False):
        (metrics,) = (each for each in gateway_addons() if isinstance(each, Metrics))
        metrics.refresh()
        families: Any = text_string_to_metric_families(metrics.text().decode())
        whats = {
            sample.labels["what"] for each in families if each.name == "gateway_dropped" for sample in each.samples
        }
    documented = DOCUMENT.partition("`gateway_dropped_total` has ")[2].partition("\n\n")[0]
    assert whats == set(re.findall(r"`([a-z-]+)`", documented))


def test_all_reasons_are_fixed_slugs_and_documented() -> None:
    """Those that are put together have parts from fixed sets: a policy, a bound, a phase."""
    found = []
    for file in sorted(Path(livegate.__file__).parent.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id in ("Refusal", "_closing")
            ):
                found.append(call.args[1 if call.func.id == "_closing" else 2])
    assert len(found) > 40
    composed = [each for each in found if isinstance(each, ast.JoinedStr)]
    starts = [each.values[0].value for each in composed if isinstance(each.values[0], ast.Constant)]
    assert sorted(starts) == ["rate-limit-", "sockets-", "timeout-"]
    others = [each for each in found if not isinstance(each, ast.JoinedStr | ast.Constant | ast.IfExp)]
    assert [ast.unparse(each) for each in others] == ["reason"]  # of `_closing`, whose calls are among those found
    fixed = [each.value for each in found if isinstance(each, ast.Constant)]
    assert all(reason_label(each) == each for each in fixed if isinstance(each, str))
    fixed = {str(each.value) for one in found for each in _results(one) if isinstance(each, ast.Constant)}
    assert all(reason_label(each) == each for each in fixed)
    documented = _documented("rejected") | _documented("failures")
    assert {each for each in documented if not each.startswith(tuple(starts))} == fixed


def _results(value: ast.expr) -> list[ast.expr]:
    return [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]


def _documented(kind: str) -> set[str]:
    text = DOCUMENT.partition(f"Reasons in `gateway_{kind}_total`: ")[2].partition("\n\n")[0]
    reasons: list[str] = re.findall(r"`([a-z-]+)`", text)
    assert reasons == sorted(set(reasons))
    return set(reasons)
