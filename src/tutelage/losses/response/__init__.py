"""Response knowledge: what a network answers, logits against logits or labels."""

from __future__ import annotations

from tutelage.losses.response.hard_label import HardLabel
from tutelage.losses.response.logit_match import LogitMatch
from tutelage.losses.response.soft_target import SoftTarget

__all__ = ["HardLabel", "LogitMatch", "SoftTarget"]
