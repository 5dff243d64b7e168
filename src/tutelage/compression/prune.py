"""Prune hidden units, single weights, or channels and heads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.cutting import cut_
from tutelage.compression.gradual import Gradual
from tutelage.compression.prune_channels import BUDGETS, prune_channels
from tutelage.compression.prune_units import keep_units, prune_units
from tutelage.compression.prune_weights import mask_again, mask_weights
from tutelage.compression.settle import settle
from tutelage.errors import UnknownName

__all__ = ["Prune"]


class Prune(Changer):
    """Pruning: what matters least is taken out of a network.

    Structures, and what they work on:

    - `units`, by default: hidden units of linear layers whose answer goes through activations and dropout
      into other linear layers and nowhere else, wherever in the network they stand. Smaller tensors are left.
    - `channels`: channels of convolutions, heads of attention and hidden widths, with all that depends on
      them, by Torch-Pruning's dependency graph. What the task reads, the width of embeddings, and layers that
      cannot be cut without changing more than that stay; the last ones are named. Smaller tensors are left.
    - `weights`: single weights of linear and convolutional layers, by a mask that stays while trainings go
      on: a masked weight is 0. A network that is masked again counts its zeros as masked.
    - `"2:4"` or others: of each so many weights that a unit reads in a row, so many stay; a mask too.

    Scores: `magnitude`: |w| of a weight; of a unit, the norm of what goes into it times the norm of what
    comes out of it; of a channel, the mean over its layers of Σw². `taylor`: |w · gradient| of the loss
    on training examples, the change of the loss to first order: of a weight the mean over batches, of a unit
    |Σ w · gradient| of what goes into it, of a channel the sum over its weights. `movement`, for weights and
    a gradual share: a score of each weight is learned in the training that follows, by the student's own
    optimiser, and grows where the weight moves away from 0.

    Args:
        share: of the units, channels or weights that goes, above 0 and below 1; of each layer one stays.
        structure: `units`, `channels`, `weights`, or `"N:M"`.
        by: `magnitude`, `taylor` or `movement`.
        scope: `layer`, the share of each layer; or `global`, of all layers together.
        gradual: {from, until, every}: the share grows from `from` (0) to `share` until a part `until` (0.75)
            of each training that follows, looked at each `every` (50) updates; for weights.
        budget: in place of a share, what may stay of `parameters`, `flops` or `latency`, such as
            {flops: 0.5}; for channels. The smallest share that keeps it is found in steps of 1/64.
        batches: of training examples that `taylor` looks at.

    Raises:
        ValueError: settings that are out of range, or do not go together.
        ModelError: a network without anything to prune, when it is pruned.

    Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", by
        magnitude; Li et al. 2017, "Pruning Filters for Efficient ConvNets", whole units; Molchanov et al.
        2019, "Importance Estimation for Neural Network Pruning", equation 8, by Taylor expansion; Sanh et al.
        2020, "Movement Pruning", section 4; Zhu & Gupta 2017, "To prune, or not to prune", the gradual share;
        Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", channels; Mishra et al. 2021,
        "Accelerating Sparse Deep Neural Networks", 2:4. Differences: of units the norm of outgoing weights
        counts too; Taylor scores are absolute values where Molchanov et al. square them, and are gathered at
        once; scores of movement are learned at the student's rate, with its weight decay if it has one, and
        chosen anew at each look instead of each update; masked weights come back under movement alone.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        >>> done = Prune(share=0.5).change(network).done
        >>> network[0].out_features, network[2].in_features, len(done["kept"]["0"])
        (3, 3, 3)
        >>> _ = Prune(share=0.75, structure="weights").change(network)
        >>> int((network[0].weight == 0).sum()), network[0].weight.numel()
        (9, 12)
    """

    def __init__(
        self,
        *,
        share: float | None = None,
        structure: str = "units",
        by: str = "magnitude",
        scope: str = "layer",
        gradual: Mapping[str, Any] | None = None,
        budget: Mapping[str, float] | None = None,
        batches: int = 8,
    ) -> None:
        self.structure, self.few = _structure(structure)
        self.share = _share(share, self.structure, budget)
        self.by = _one_of("score of prune:", by, ("magnitude", "taylor", "movement"))
        self.scope = _one_of("scope of prune:", scope, ("layer", "global"))
        self.gradual = None if gradual is None else Gradual.read(gradual)
        self.budget = _budget(budget)
        self.batches = batches
        self._check()

    @property
    def settles(self) -> bool:  # type: ignore[override]
        """Masks leave the structure as it was; what is cut out does not."""
        return self.structure in ("weights", "few")

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """Prune in place; what was kept, by the layers' paths."""
        if self.structure == "units":
            assert self.share is not None
            kept = prune_units(network, calibration, share=self.share, by=self.by, batches=self.batches)
            return Changed(network, {"kept": kept})
        prune = prune_channels if self.structure == "channels" else mask_weights
        return Changed(network, prune(network, calibration, vars(self)))

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        """Bring a network that was built anew into the pruned shape; without Torch-Pruning."""
        if "kept" in done:
            keep_units(network, done["kept"])
        elif "cut" in done:
            cut_(settle(network), done["cut"])
        else:
            mask_again(network, done)
        return network

    def _check(self) -> None:
        """Refuse settings that do not go together."""
        masks = self.structure == "weights"
        if self.by == "movement" and (self.gradual is None or self.gradual.first > 0):
            raise ValueError(
                "by: movement learns its scores in the training that follows, from none; give it "
                "structure: weights and gradual: {from: 0.0, until: 0.75}"
            )
        if self.gradual is not None and not masks:
            raise ValueError("a gradual share is one of single weights; add structure: weights")
        if self.gradual is not None and self.by == "taylor":
            raise ValueError("a share that grows goes by magnitude or movement; taylor looks but once")
        if self.gradual is not None and self.share is not None and self.gradual.first > self.share:
            raise ValueError(f"gradual begins at {self.gradual.first}, above the share of {self.share}")
        if self.scope == "global" and not (masks or self.structure == "channels"):
            raise ValueError("scope: global goes with structure: weights or channels")
        if self.budget is not None and self.structure != "channels":
            raise ValueError("a budget goes with structure: channels; elsewhere a share says how much goes")
        if self.batches < 1:
            raise ValueError(f"batches came as {self.batches}; at least 1 is expected")


def _structure(came: Any) -> tuple[str, tuple[int, int] | None]:
    """The kind of structure, and how many of how many weights stay."""
    few = re.fullmatch(r"(\d+):(\d+)", came) if isinstance(came, str) else None
    if few:
        keep, of = int(few[1]), int(few[2])
        if not 0 < keep < of:
            raise ValueError(f'structure came as "{came}"; "N:M" keeps N of M, so N is above 0 and below M')
        return "few", (keep, of)
    if not isinstance(came, str):
        raise ValueError(f'structure came as {came}; write "2:4" in quotes, or YAML reads a time of day')
    return _one_of("structure of prune:", came, ("units", "channels", "weights", "2:4")), None


def _share(share: float | None, structure: str, budget: Mapping[str, float] | None) -> float | None:
    if structure == "few" or budget is not None:
        if share is not None:
            other = "a budget" if budget is not None else 'structure: "N:M"'
            raise ValueError(f"{other} says how much goes, and a share was given too; leave one of them out")
        return None
    if share is None or not 0 < share < 1:
        raise ValueError(f"share came as {share}; a number above 0 and below 1 is expected")
    return share


def _budget(budget: Mapping[str, float] | None) -> dict[str, float] | None:
    if budget is None:
        return None
    for name in budget:
        _one_of("budget of prune:", name, BUDGETS)
    if len(budget) != 1 or not all(0 < part < 1 for part in budget.values()):
        raise ValueError(
            f"budget came as {dict(budget)}; one of {', '.join(BUDGETS)} is expected, and the part of it "
            "that may stay, above 0 and below 1"
        )
    return dict(budget)


def _one_of(kind: str, came: str, legal: tuple[str, ...]) -> str:
    if came not in legal:
        raise UnknownName(kind, came, legal)
    return came
