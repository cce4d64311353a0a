"""A real Prometheus with the scrape file and the rules of `configs/`, looking at one gateway every second."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from gateway_process import CHECKOUT, Output, free_port

CONFIGS = CHECKOUT / "configs"
TIMEOUT_S = 30


def scrape_file(folder: Path, target: str, token: str) -> Path:
    """The scrape file of `configs/` for one gateway, with its token."""
    (folder / "token").write_text(f"{token}\n")
    given = yaml.safe_load((CONFIGS / "prometheus.yml").read_text())
    given["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    given["rule_files"] = [str(CONFIGS / name) for name in given["rule_files"]]
    (job,) = given["scrape_configs"]
    job["authorization"] = {"type": "Bearer", "credentials_file": str(folder / "token")}
    job["static_configs"] = [{"targets": [target]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(given))
    return path


class Prometheus:
    """The process, and its query API."""

    def __init__(self, program: str, folder: Path, target: str, token: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [
            program,
            f"--config.file={scrape_file(folder, target, token)}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = Output(self.process)
        self.output.wait_for("Server is ready to receive web requests", timeout=TIMEOUT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT_S)
        self.output.join()

    def ask(self, path: str, **query: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def query(self, expression: str) -> list[dict[str, Any]]:
        found = self.ask("query", query=expression)
        assert found["status"] == "success", (expression, found)
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def counts(self, metric: str, *labels: str) -> Counter[Any]:
        """Values of a metric's series that are not 0, by the values of some labels (one label: by its value)."""
        counted: Counter[Any] = Counter()
        for each in self.query(metric):
            values = tuple(each["metric"][label] for label in labels)
            counted[values[0] if len(values) == 1 else values] += int(float(each["value"][1]))
        return +counted

    def scraped_since(self, moment: float) -> None:
        """Wait for a scrape that began after a moment of `time.time()`."""
        deadline = time.monotonic() + TIMEOUT_S
        while not any(float(each["value"][1]) > moment for each in self.query("timestamp(gateway_build_info)")):
            assert time.monotonic() < deadline, self.ask("targets")
            time.sleep(0.1)
