"""What is matched: one method, one file, one public module, sorted by the kind of knowledge.

`response` compares answers, `feature` layers, `attention` where a network looks, `relation` how examples,
channels or layers relate, `contrastive` tells an example's own teacher from the others'. Each loss is the
mean over the unmasked items of its batch; `divergences`, `reduction` and `features` hold what they share,
`heads` compares logits that are not computed yet.
"""

from __future__ import annotations

from tutelage.losses import attention, contrastive, feature, relation, response, transforms
from tutelage.losses.loss import Loss

__all__ = ["Loss", "attention", "contrastive", "feature", "relation", "response", "transforms"]
