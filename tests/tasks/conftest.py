"""What tests of tasks share with those of schemes, and golden trajectories of tasks."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "schemes"), str(TESTS / "golden" / "tasks")]
