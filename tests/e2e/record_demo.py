"""`python tests/e2e/record_demo.py`: records a person's way through the demo, with livegate's own frame log, as a fixture."""

import gzip
import sys
import tempfile
from pathlib import Path

for place in (Path(__file__).parent, Path(__file__).parents[1], Path(__file__).parents[2] / "addons"):
    sys.path.insert(0, str(place))

from browser import browser_page, journey  # noqa: E402
from gateway_process import Gateway  # noqa: E402

from livegate.demo.processes import DemoProcesses  # noqa: E402

FIXTURE = Path(__file__).parents[1] / "fixtures" / "demo.jsonl.gz"


def main() -> None:
    with tempfile.TemporaryDirectory() as name, DemoProcesses(0, 0) as apps:
        folder = Path(name)
        log = folder / "frames.jsonl"
        settings = {"services": {"live.localhost": apps.live_url}, "rate_limit": {"user": None, "ip": None}}
        gateway = Gateway(folder, settings | {"inspect": {"frame_log": {"path": str(log)}}})
        with gateway, browser_page("/usr/bin/chromium") as page:
            journey(page, f"http://live.localhost:{gateway.port}", folder)
        text = log.read_text().replace(f":{gateway.port}", ":8080")
        FIXTURE.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
