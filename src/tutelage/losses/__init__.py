"""What is matched: one method, one file, one public module, sorted by the kind of knowledge.

`response` compares answers, `feature` compares layers. Each loss is the mean over the unmasked items of its
batch; `divergences` and `reduction` hold what they share.
"""

from __future__ import annotations

from tutelage.losses import feature, response, transforms
from tutelage.losses.loss import Loss

__all__ = ["Loss", "feature", "response", "transforms"]
