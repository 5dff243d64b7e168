"""What tests here share lies beside them (`bringing`), and beside those of schemes (`carrying`)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "schemes"))
