"""What a detector with one answer for each cell learns by.

Items are images: each term is the mean over images of what the image's cells add, so that a batch in parts is
the whole batch. Labels are a tree, `{"boxes": [N, things, 4], "classes": [N, things]}`, filled up with
`UNLABELLED`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses import Loss
from tutelage.losses.divergences import forward_kl
from tutelage.losses.reduction import blank, check_mask, check_same_shape, masked_mean
from tutelage.losses.softened import check_temperature
from tutelage.tasks.detection.cells import cell_targets

__all__ = ["CellBox", "CellLabel", "SoftBox", "SoftCell"]

Labels = Mapping[str, Tensor]


class CellLabel(Loss):
    """The class of what stands in each cell, or nothing: cross-entropy over cells.

    Args:
        nothing: ω, how much a cell with nothing counts beside one with a thing, above 0: most are empty.

    Shapes: student [items, cells, classes + 1], the last class for nothing; labels a tree; mask [items] -> a
    scalar, the mean over unmasked images of the mean over their cells, in nats. Range 0 to infinity.

    Raises:
        ValueError: the weight is out of range, the cells are no square grid, or the mask does not fit.

    Source: the classification terms of Redmon et al., You Only Look Once, 2016, equation 3, where ω is λ for
    cells without a thing. Difference: cross-entropy in place of squares.

    Example:
        >>> labels = {"boxes": torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]), "classes": torch.tensor([[0]])}
        >>> print(f"{CellLabel()(torch.zeros(1, 1, 2), labels).item():.4f}")  # log 2
        0.6931
    """

    place = "logits"

    def __init__(self, *, nothing: float = 0.2) -> None:
        super().__init__()
        self.nothing = _check_nothing(nothing)

    def forward(
        self,
        student: Float[Tensor, "items cells classes"],
        labels: Labels,
        mask: Bool[Tensor, " items"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare each cell's answer with what stands there."""
        check_mask(mask, student.shape[:1])
        (student,) = blank(mask, student)
        empty = student.shape[-1] - 1
        targets = cell_targets(labels, student.shape[1])
        classes = torch.where(targets.filled, targets.classes, empty)
        values = F.cross_entropy(student.flatten(0, 1), classes.flatten(), reduction="none")
        weights = torch.where(targets.filled, 1.0, self.nothing)
        return masked_mean(values.view(classes.shape) * weights, mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"nothing={self.nothing}"


class CellBox(Loss):
    """The box of what stands in a cell: smooth L1 between corners, measured in cells.

    Shapes: student [items, cells, 4], left, top, right and bottom as shares of the image; labels a tree; mask
    [items] -> a scalar, the mean over unmasked images of the mean over the cells in which a thing stands, of
    the mean over the four corners. Range 0 to infinity; an image of nothing adds 0.

    Raises:
        ValueError: the cells are no square grid, or the mask does not fit.

    Source: Girshick, Fast R-CNN, 2015, equation 3. Difference: corners in place of offsets from an anchor.

    Example:
        >>> labels = {"boxes": torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]), "classes": torch.tensor([[0]])}
        >>> CellBox()(torch.tensor([[[0.0, 0.0, 1.0, 3.0]]]), labels).item()  # (2 − ½) / 4
        0.375
    """

    place = "features"

    def forward(
        self,
        student: Float[Tensor, "items cells 4"],
        labels: Labels,
        mask: Bool[Tensor, " items"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the boxes of cells in which something stands."""
        check_mask(mask, student.shape[:1])
        (student,) = blank(mask, student)
        targets = cell_targets(labels, student.shape[1])
        return masked_mean(_distance(student, targets.boxes.to(student), targets.filled.to(student)), mask)


class SoftBox(Loss):
    """The teacher's boxes, by how sure it is that something stands in them: smooth L1 in cells.

    A teacher says where a box is in each cell, also in those where nothing is; there its answer was never
    trained. So a cell counts by the probability that the teacher gives to its holding something.

    Shapes: student and teacher tuples of boxes [items, cells, 4] and logits [items, cells, classes + 1], the
    last class for nothing; mask [items] -> a scalar, the mean over unmasked images of the mean over cells,
    each weighted by the teacher. Range 0 to infinity; zero where the boxes are the teacher's. The student's
    logits get no gradient.

    Raises:
        ValueError: shapes differ, the cells are no square grid, or the mask does not fit.

    Source: Chen et al., Learning Efficient Object Detection Models with Knowledge Distillation, 2017, section
    3.3, for boxes that follow a teacher. Differences: no bound by the teacher's own error, and the weights.
    """

    place = "features"
    joins_layers = True

    def forward(
        self,
        student: tuple[Tensor, ...],
        teacher: tuple[Tensor, ...],
        mask: Bool[Tensor, " items"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the boxes of all cells."""
        for ours, theirs in zip(student, teacher, strict=True):
            check_same_shape(ours, theirs, advice="give student and teacher one grid and the same classes")
        boxes, logits = (held.detach() for held in teacher)
        check_mask(mask, boxes.shape[:1])
        own, boxes, logits = blank(mask, student[0], boxes, logits)
        sure = 1 - logits.softmax(-1)[..., -1]
        return masked_mean(_distance(own, boxes, sure), mask)


class SoftCell(Loss):
    """The teacher's classes of each cell, those with nothing counting less: soft targets over cells.

    Most cells hold nothing, and teacher and student soon agree about that. `response.SoftTarget` counts all
    cells alike, so that next to labels whose empty cells are held down it draws the student towards nothing.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        nothing: ω, how much a cell with nothing counts beside one with a thing, above 0; in between it is as
            likely a thing as the teacher says.

    Shapes: student and teacher [items, cells, classes + 1], the last class for nothing; mask [items] -> a
    scalar, the mean over unmasked images of the mean over their cells of the weighted T² · KL(teacher ‖
    student), in nats. Range 0 to infinity; zero where both softmaxes are equal.

    Raises:
        ValueError: the temperature or the weight is out of range, shapes differ, or the mask does not fit.

    Source: Chen et al., Learning Efficient Object Detection Models with Knowledge Distillation, 2017, section
    3.2, equation 3, for a weight of its own for nothing. Differences: KL in place of cross-entropy, a
    temperature, and weights that follow the teacher's probability in place of the label.
    """

    place = "logits"

    def __init__(self, *, temperature: float = 2.0, nothing: float = 0.2) -> None:
        super().__init__()
        self.temperature, self.nothing = check_temperature(temperature), _check_nothing(nothing)

    def forward(
        self,
        student: Float[Tensor, "items cells classes"],
        teacher: Float[Tensor, "items cells classes"],
        mask: Bool[Tensor, " items"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the classes of all cells."""
        check_same_shape(student, teacher, advice="give student and teacher one grid and the same classes")
        check_mask(mask, student.shape[:1])
        student, teacher = blank(mask, student, teacher.detach())
        ours, theirs = ((held / self.temperature).log_softmax(-1) for held in (student, teacher))
        sure = 1 - teacher.softmax(-1)[..., -1]
        weights = sure + self.nothing * (1 - sure)
        return masked_mean(forward_kl(ours, theirs) * weights, mask) * self.temperature**2

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}, nothing={self.nothing}"


def _check_nothing(nothing: float) -> float:
    if not 0 < nothing < math.inf:
        raise ValueError(f"nothing came as {nothing}; a number above 0 is expected")
    return nothing


def _distance(student: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """Smooth L1 between corners in units of a cell, for each image: the weighted mean over its cells."""
    grid = math.isqrt(student.shape[1])
    values = F.smooth_l1_loss(student * grid, other * grid, reduction="none").mean(-1)
    return (values * weights).sum(-1) / weights.sum(-1).clamp(min=1e-6)
