"""Parameters that a whole training has left as they were."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import nn

from tutelage.errors import TutelageWarning
from tutelage.studies import Arm, fresh_networks

__all__ = ["warn_of_untrained"]

_NAMED = 4


def warn_of_untrained(arm: Arm, networks: Mapping[str, nn.Module], seed: int, label: str) -> None:
    """Say which parameters got no gradient in any stage: a second head that no term looks at, say.

    Args:
        arm: what was trained.
        networks: as they are now.
        seed: by which they began.
        label: what to call the training.
    """
    if any(stage.afresh for _, stage in arm.trainings):
        return
    before = fresh_networks(arm, seed)
    moved = {turn for _, stage in arm.trainings for turn in stage.declared.turn_names}
    for name, network in networks.items():
        if name not in moved:  # a critic in a control, which is to stay as it is
            continue
        began = dict(before[name].named_parameters())
        left = [
            key
            for key, now in network.named_parameters()
            if now.requires_grad and key in began and _same(now, began[key])
        ]
        if left:
            more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            said = (
                f"{label}: of the {name}, {', '.join(left[:_NAMED])}{more} got no gradient in the whole "
                "training, so that what they answer is that of their first weights. If that is a head with an "
                'answer of its own, add a match for it (guided=":output.1"); else freeze it '
                "(requires_grad_(False))"
            )
            warnings.warn(said, TutelageWarning, stacklevel=2)


def _same(now: torch.Tensor, before: torch.Tensor) -> bool:
    return now.shape == before.shape and torch.equal(now.detach().cpu(), before.detach().cpu())
