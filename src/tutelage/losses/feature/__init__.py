"""Feature knowledge: what a network's layers hold, the guided layer against the hint layer."""

from __future__ import annotations

from tutelage.losses.feature.cosine_hint import CosineHint
from tutelage.losses.feature.hint import Hint

__all__ = ["CosineHint", "Hint"]
