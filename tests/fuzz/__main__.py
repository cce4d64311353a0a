"""`python tests/fuzz --count 1000000`: so many generated streams through our codec and through wsproto's."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "addons"))
sys.path.insert(0, str(Path(__file__).parent))

from streams import check, seed_of_the_day

PROGRESS_EVERY = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None, help="the first one; a new one each run otherwise")
    given = parser.parse_args()
    first = seed_of_the_day() if given.seed is None else given.seed
    print(f"{given.count:,} streams from seed {first} on")
    started, slowest = time.monotonic(), 0.0
    for place in range(given.count):
        began = time.monotonic()
        problem = check(first + place)
        slowest = max(slowest, time.monotonic() - began)
        if problem is not None:
            print(f"seed {first + place}: {problem}")
            return 1
        if (place + 1) % PROGRESS_EVERY == 0:
            print(
                f"{place + 1:,} in {time.monotonic() - started:.0f} s, the slowest {slowest * 1000:.0f} ms", flush=True
            )
    print(f"{given.count:,} streams, no difference, no exception; {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
