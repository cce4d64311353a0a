"""Lets unit tests import what they share: `tests/unit/support`, and the tests' folder itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "support"))

from gateway_parts import parts

__all__ = ["parts"]
