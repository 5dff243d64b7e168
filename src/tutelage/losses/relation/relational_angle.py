"""Angles between three examples of a batch: the third-order relations of RKD."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.features import example_rows, off_diagonal
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import distances
from tutelage.losses.softened import check_chunk_size

__all__ = ["RelationalAngle"]

_MOST_ANGLES = 2**22
"""So many angles are held at a time unless `chunk_size` says otherwise: 16 MiB in float32."""


class RelationalAngle(Loss):
    """Relational angle (RKD-A): cosines of the angles that each example sees between two others.

    Angles hold more of an embedding's shape than distances do, and need no scale: a student that turns,
    moves or stretches the teacher's embedding as a whole loses nothing.

    There are as many angles as items³. They are taken anchor by anchor, by the law of cosines on
    distances, and the slope of each is added up as it is met, so that none is kept for the backward pass:
    three arrays of [anchors of a chunk, items, items] live at a time, and about five of [items, items].

    Args:
        chunk_size: how many anchors to hold at a time. None: as many as give four million angles, one at
            least.

    Shapes: student and teacher [items, ...], one row an example, of any two widths, mask [items] or, to blank
    positions, [items, length] -> a scalar, the mean over ordered triples of different unmasked examples of
    the Huber loss between cosines. Range 0 to 1.5; zero where all angles are equal. An anchor that coincides
    with an example sees no angle there: its cosine is 0. Below three examples the loss is 0.

    Raises:
        ValueError: the chunk size is below 1, the numbers of examples differ, or the mask does not fit.

    Source: Park et al., Relational Knowledge Distillation, 2019, section 3.2.2; the Huber loss turns linear
    at 1, as there; their weight is 2 for embeddings and 50 for classification. Difference: the mean over the
    triples stands in place of their sum, so that a weight does not depend on the batch.

    Example:
        >>> student = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 90, 45 and 45 degrees
        >>> loss = RelationalAngle()(student, torch.eye(3))  # 60 degrees each
        >>> print(f"{loss.item():.4f}")  # (.5² + .2071² + .2071²) / 2 / 3
        0.0560
    """

    place = "features"
    layouts = ("vectors", "tokens", "maps")
    by_example: ClassVar[bool] = True
    compares_items: ClassVar[bool] = True

    def __init__(self, *, chunk_size: int | None = None) -> None:
        super().__init__()
        self.chunk_size = check_chunk_size(chunk_size)

    def forward(
        self,
        student: Float[Tensor, "items ..."],
        teacher: Float[Tensor, "items ..."],
        mask: Bool[Tensor, "items ..."] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the angles between the student's examples with those between the teacher's."""
        student, teacher, counts = example_rows(student, teacher, mask)
        ours, theirs = (distances(rows, squared=True) for rows in (student, teacher))
        size, slopes = self._num_anchors(len(ours)), ours.requires_grad
        total: Tensor = _angle_gaps(ours, theirs, off_diagonal(counts), size, slopes)[0]
        number = counts.sum()
        return total / (number * (number - 1) * (number - 2)).clamp(min=1)

    def _num_anchors(self, items: int) -> int:
        return self.chunk_size or max(_MOST_ANGLES // max(items, 1) ** 2, 1)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return "" if self.chunk_size is None else f"chunk_size={self.chunk_size}"


@torch.library.custom_op(
    "tutelage::angle_gaps",
    mutates_args=(),
    schema="(Tensor ours, Tensor theirs, Tensor pairs, int size, bool slopes) -> (Tensor, Tensor)",
)
def _angle_gaps(
    ours: Tensor, theirs: Tensor, pairs: Tensor, size: int, slopes: bool
) -> tuple[Tensor, Tensor]:
    """The sum of the Huber losses of all angles, from squared distances, and its slopes in `ours`."""
    total, slope = ours.new_zeros(()), ours.new_zeros(ours.shape if slopes else 0)
    for start in range(0, len(ours), size):
        total += _add_anchors_(slope, ours, theirs, pairs, slice(start, start + size))
    return total, slope


def _add_anchors_(slope: Tensor, ours: Tensor, theirs: Tensor, pairs: Tensor, anchors: slice) -> Tensor:
    """The sum at some anchors; their slopes are added to `slope`, where it is not empty."""
    inverse = _inverse_lengths(ours[anchors], pairs[anchors])
    cosines = _cosines(ours[anchors], inverse, ours)
    gaps = _cosines(theirs[anchors], _inverse_lengths(theirs[anchors], pairs[anchors]), theirs)
    torch.sub(cosines, gaps, out=gaps)
    clipped = gaps.clamp(-1, 1)  # the slope of the Huber loss, which is clipped · (gap − clipped / 2)
    clipped.diagonal(dim1=1, dim2=2).zero_()
    total = gaps.sub_(clipped, alpha=0.5).mul_(clipped).sum()
    if slope.numel():
        crossed = torch.mul(clipped, inverse.unsqueeze(-1), out=gaps).mul_(inverse.unsqueeze(-2))
        slope[anchors] += crossed.sum(-1) - clipped.mul_(cosines).sum(-1) * inverse.square()
        slope -= crossed.sum(0) / 2
    return total


@_angle_gaps.register_fake
def _(ours: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return ours.new_empty(()), ours.new_empty(ours.shape if others[-1] else 0)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG001
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1])


def _pull(ctx: Any, of_total: Tensor | None, of_slopes: Tensor | None) -> tuple[Tensor | None, ...]:
    if of_slopes is not None:
        raise NotImplementedError("RelationalAngle has a first derivative only; a second one was asked for")
    (slope,) = ctx.saved_tensors
    return None if of_total is None else of_total * slope, None, None, None, None


_angle_gaps.register_autograd(_pull, setup_context=_keep)


def _inverse_lengths(squares: Tensor, pairs: Tensor) -> Float[Tensor, "anchors items"]:
    """1 / length of each side that counts; 0 for the others, and for sides without a length."""
    least = torch.finfo(squares.dtype).smallest_normal  # below it digits are lost, and slopes overflow
    return squares.rsqrt().where(pairs & (squares >= least), 0)


def _cosines(
    near: Float[Tensor, "anchors items"],
    inverse: Float[Tensor, "anchors items"],
    squares: Float[Tensor, "items items"],
) -> Float[Tensor, "anchors items items"]:
    """(a² + b² − c²) / 2ab of each anchor and pair of items; 0 where a side does not count."""
    sides = (near.unsqueeze(-1) + near.unsqueeze(-2)).sub_(squares)
    return sides.mul_((inverse / 2).unsqueeze(-1)).mul_(inverse.unsqueeze(-2))
