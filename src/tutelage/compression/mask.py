"""Masks of single weights, as parametrisations: masked weights are 0, whatever an optimiser does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.compression.gradual import Gradual
from tutelage.compression.settle import settle
from tutelage.compression.smallest import how_many, without_smallest
from tutelage.types import Moment

__all__ = ["Mask", "Masks", "mask_of", "unmasked_"]


class Mask(nn.Module):
    """Keeps some weights of a layer, and makes the others 0.

    Args:
        kept: true where a weight stays, in its shape.
        scores: what each weight is worth, learned by straight-through gradients; None where nothing is
            learned.
    """

    kept: Tensor
    group: Masks | None = None
    """The masks that share a schedule; None where nothing grows."""

    def __init__(self, kept: Tensor, scores: nn.Parameter | None = None) -> None:
        super().__init__()
        self.register_buffer("kept", kept)
        self.scores = scores

    def forward(self, weight: Tensor) -> Tensor:
        """The weights that stay, among zeros."""
        if self.scores is None:
            return weight.masked_fill(~self.kept, 0.0)
        masked: Tensor = _Scored.apply(weight, self.kept, self.scores)  # type: ignore[no-untyped-call]
        return masked

    def at_moment(self, moment: Moment) -> None:
        """Let the share grow, once for all masks of the group."""
        if self.group is not None and self.group.leader is self:
            self.group.grow(moment)

    @property
    def has_arrived(self) -> bool:
        """Whether the share is what it is to become; one of the group answers for all."""
        return self.group is None or self.group.leader is not self or self.group.has_arrived


class _Scored(torch.autograd.Function):
    """A masked weight whose mask passes gradients on to scores: dS = dW' · W."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, kept: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(weight, kept)
        return weight.masked_fill(~kept, 0.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, Tensor]:
        weight, kept = ctx.saved_tensors
        return grads[0].masked_fill(~kept, 0.0), None, grads[0] * weight


class Masks:
    """Masks of several layers whose share grows by one schedule.

    A weight that is masked stays so, where weights are scored by their magnitude; where scores are learned,
    it may come back for another one. The share never falls, whichever training comes next.

    Args:
        layers: each with a mask on its weight.
        share: what it grows to.
        by_layer: whether each layer has the share for itself, or all together.
        gradual: how it grows.
    """

    def __init__(
        self, layers: Sequence[nn.Module], *, share: float, by_layer: bool, gradual: Gradual
    ) -> None:
        self.layers, self.share, self.by_layer, self.gradual = list(layers), share, by_layer, gradual
        for mask in self.each:
            mask.group = self

    @property
    def each(self) -> list[Mask]:
        """The masks, in the order of the layers."""
        return [cast(Mask, mask_of(layer)) for layer in self.layers]

    @property
    def leader(self) -> Mask:
        """The one that is asked on behalf of all."""
        return self.each[0]

    @property
    def has_arrived(self) -> bool:
        """Whether as many are masked as are to be."""
        kept = self._kept
        parts = [[each] for each in kept] if self.by_layer else [kept]
        return all(
            sum(int((~each).sum()) for each in part) >= how_many([each.numel() for each in part], self.share)
            for part in parts
        )

    @torch.no_grad()
    def grow(self, moment: Moment) -> None:
        """Mask more weights, where the schedule says so."""
        if not self.gradual.is_due(moment):
            return
        share = self.gradual.share(self.share, moment)
        for mask, kept in zip(self.each, self._chosen(share), strict=True):
            mask.kept.copy_(kept)

    @property
    def _kept(self) -> list[Tensor]:
        return [mask.kept for mask in self.each]

    def _chosen(self, share: float) -> list[Tensor]:
        masked = [~kept for kept in self._kept]
        return without_smallest(self._scores(), share, by_layer=self.by_layer, masked=masked)

    def _scores(self) -> list[Tensor]:
        found = []
        for layer, mask in zip(self.layers, self.each, strict=True):
            if mask.scores is not None:
                found.append(mask.scores.detach())
            else:
                original = original_of(layer).detach().abs()
                found.append(original.masked_fill(~mask.kept, -1.0))
        return found


def mask_of(layer: nn.Module) -> Mask | None:
    """The mask on a layer's weight, if that is the first thing done to it."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    held = cast(Mapping[str, Sequence[nn.Module]], layer.parametrizations)["weight"][0]
    return held if isinstance(held, Mask) else None


def original_of(layer: nn.Module) -> Tensor:
    """The weight of a masked layer without the mask."""
    original: Tensor = cast(Any, layer.parametrizations)["weight"].original
    return original


def unmasked_(layer: nn.Module) -> None:
    """Make a layer's masked weight a plain one, in place, where nothing but the mask was done to it."""
    if mask_of(layer) is None:
        return
    named = cast(Any, layer.parametrizations)
    if list(named) == ["weight"] and len(named["weight"]) == 1:
        settle(layer)
