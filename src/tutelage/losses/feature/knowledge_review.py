"""Stages reviewed together: what is deep in the student helps it with what is shallow in the teacher."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tutelage.layout import examples, resize, to_map
from tutelage.losses.features import check_joined, not_fitted
from tutelage.losses.grids import beside
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, masked_mean, widen

__all__ = ["KnowledgeReview"]

_SIDES = (4, 2, 1)
_MOST_WIDTH = 512

_Features = tuple[Float[Tensor, "items ..."], ...]


class KnowledgeReview(Loss):
    """Knowledge review (ReviewKD): fused stages of the student against each stage of the teacher (ABF, HCL).

    A deeper stage of the student is fit to learn what a shallower one of the teacher knows. From the deepest
    stage to the shallowest, the student's maps are fused, with attention over the two sources at each place;
    each fused map is compared with the teacher's stage, whole and averaged over coarser and coarser grids.

    Args:
        width: channels in which stages are fused; None for those of the student's deepest stage, 512 at most.

    Shapes: student and teacher are tuples of as many stages, from the shallowest to the deepest, of
    [items, channels, height, width] or patch tokens [items, length, channels], any channels and sizes; mask
    [items] or [items, length] -> a scalar, the mean over unmasked examples of the sum over stages of the
    weighted mean of the mean squared differences at the full size and at 4, 2 and 1 pixels a side (those
    below the full size), with weights 1, ½, ¼, ⅛. Range 0 to infinity; zero where the fused maps equal the
    teacher's.

    Raises:
        ValueError: the width is out of range, `fit` was not called, the numbers of stages or of items differ,
            a stage is no map and no grid of tokens, or the mask does not fit.

    Source: Chen et al., Distilling Knowledge via Knowledge Review, 2021, section 3; the width is that of
    their code. Differences: what goes into and out of a fusion is normalised over the channels and places
    of an example and not over the batch, so that examples do not meet; maps grow by bilinear interpolation,
    not by the nearest pixel, and shrink by averaging; patch tokens are taken as maps.

    Example:
        >>> student = torch.ones(1, 2, 8, 8), torch.ones(1, 4, 4, 4)
        >>> teacher = torch.full((1, 3, 8, 8), 3.0), torch.full((1, 6, 4, 4), 2.0)
        >>> loss = KnowledgeReview()
        >>> loss.fit(student, teacher)
        >>> _ = [held.data.zero_() for held in loss.parameters()]  # all fused maps are 0
        >>> loss(student, teacher).item()  # 3² + 2², on every grid
        13.0
    """

    place = "features"
    layouts = ("tokens", "maps")
    joins_layers = True
    by_example = True
    learns = True
    least_at_teacher = False

    def __init__(self, *, width: int | None = None) -> None:
        super().__init__()
        if width is not None and width < 1:
            raise ValueError(f"width came as {width}; pass 1 or more, or None for the deepest stage's")
        self.width = width
        self.fusions = nn.ModuleList()

    def fit(self, student: _Features, teacher: _Features) -> None:
        """Make one fusion for each stage, the deepest first, from a dry run."""
        check_joined(student, teacher)
        ours, theirs = ([to_map(stage).shape[1] for stage in stages] for stages in (student, teacher))
        width = min(ours[-1], _MOST_WIDTH) if self.width is None else self.width
        fusions = [
            _Fusion(here, width, there, joins=number > 0)
            for number, (here, there) in enumerate(zip(ours[::-1], theirs[::-1], strict=True))
        ]
        self.fusions = beside(student[0], nn.ModuleList(fusions))

    def forward(
        self, student: _Features, teacher: _Features, mask: Bool[Tensor, "items ..."] | None = None
    ) -> Float[Tensor, ""]:
        """Compare the student's fused stages with the teacher's."""
        if len(self.fusions) == 0:
            raise not_fitted("KnowledgeReview")
        check_joined(student, teacher)
        if len(student) != len(self.fusions):
            raise ValueError(
                f"{len(student)} stages came; {len(self.fusions)}, as many as `fit` saw, are expected"
            )
        student, teacher = blank(mask, *student), blank(mask, *(stage.detach() for stage in teacher))
        values: list[Tensor] = []
        deeper: Tensor | None = None
        for fusion, one, other in zip(self.fusions, student[::-1], teacher[::-1], strict=True):
            target = widen(to_map(other))
            deeper, fused = fusion(widen(to_map(one)), deeper, (target.shape[2], target.shape[3]))
            values.append(_hierarchical(widen(fused) - target))
        return masked_mean(torch.stack(values).sum(0), examples(mask))

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"width={self.width}"


class _Fusion(nn.Module):
    """Attention-based fusion: a stage of the student, and what was fused of the deeper ones."""

    def __init__(self, in_channels: int, width: int, out_channels: int, *, joins: bool) -> None:
        super().__init__()
        self.inward = nn.Conv2d(in_channels, width, 1, bias=False)
        self.inward_norm = nn.GroupNorm(1, width)
        self.attention = nn.Conv2d(2 * width, 2, 1) if joins else None
        self.outward = nn.Conv2d(width, out_channels, 3, padding=1, bias=False)
        self.outward_norm = nn.GroupNorm(1, out_channels)

    def forward(self, student: Tensor, deeper: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """What goes on to the shallower stage, and what is compared with the teacher's, in its size."""
        held = self.inward_norm(self.inward(student.to(self.inward.weight.dtype)))
        if self.attention is not None and deeper is not None:
            deeper = resize(deeper, (held.shape[2], held.shape[3]))
            weights = self.attention(torch.cat([held, deeper], 1)).sigmoid()
            held = held * weights[:, :1] + deeper * weights[:, 1:]
        held = resize(held, size)
        return held, self.outward_norm(self.outward(held))


def _hierarchical(gap: Float[Tensor, "items channels height width"]) -> Float[Tensor, " items"]:
    """The hierarchical context loss of each example; averaging is linear, so the difference is averaged."""
    size = (gap.shape[2], gap.shape[3])
    values, weight, total = gap.square().mean((1, 2, 3)), 1.0, 1.0
    for side in _SIDES:
        smaller = (min(side, size[0]), min(side, size[1]))
        if smaller != size:
            weight /= 2
            values = values + weight * resize(gap, smaller).square().mean((1, 2, 3))
            total += weight
    return values / total
