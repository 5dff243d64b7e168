"""Towards the class mean, and no shorter than the teacher."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.layout import channels, examples, pooled
from tutelage.losses.features import check_same_items, not_fitted
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import directions, lengths, product
from tutelage.losses.reduction import (
    blank,
    check_labels,
    check_mask,
    check_same_shape,
    labelled,
    masked_mean,
    widen,
)

__all__ = ["NormDirection"]


class NormDirection(Loss):
    """Norm and direction (ND, of KD++): the student's feature along the teacher's class mean, and long.

    The teacher's class means are a classifier of their own, so the student's feature should point to the mean
    of its class; and long features are the sure ones, so one shorter than the teacher's should grow.

    Args:
        means: the teacher's feature averaged over each class of the training set, [classes, channels]. None:
            the mean of all features of the class that training has shown so far, this batch's included.
        num_classes: how many classes there are; more do no harm but memory. It is not looked at where `means`
            came.

    Shapes: student and teacher [items, channels], or [items, length, channels] and
    [items, channels, height, width], which are averaged over their positions; labels [items], mask [items] or
    [items, length] -> a scalar, the mean over unmasked examples of 1 − s·c / max(‖s‖, ‖t‖), where c is the
    class mean at length 1. Range 0 to 2; zero where the student points to the class mean and is at least as
    long as the teacher's feature. A student that equals the teacher has no loss only where the teacher points
    to its class mean. An example labelled `UNLABELLED` (−100) adds nothing and stays in the denominator.
    Without `means` the examples of a batch share means that they themselves move, so a batch is not quite the
    sum of its micro-batches.

    Raises:
        ValueError: the number of classes or the means are out of form, `fit` was not called, shapes differ,
            labels are not integers, or the mask does not fit. That labels are known classes is checked where
            data is read.

    Source: Wang et al., Improving Knowledge Distillation via Regularizing Feature Norm and Direction, 2023,
    the ND loss of section 3, in the form 1 − … of their code; they put weights of 0.5 to 2 on it beside KD on
    CIFAR-100. Difference: without `means` the class means run along with training, where theirs are computed
    before it.

    Example:
        >>> student, teacher = torch.tensor([[3.0, 4.0]]), torch.tensor([[10.0, 0.0]])
        >>> loss = NormDirection(num_classes=2)
        >>> loss.fit(student, teacher)
        >>> print(f"{loss(student, teacher, torch.tensor([1])).item():.4f}")  # 1 - 3 / max(5, 10)
        0.7000
    """

    place = "features"
    layouts = ("vectors", "tokens", "maps")
    same_shape = True
    by_example = True
    learns = True
    least_at_teacher = False
    compares_items = True
    means: Tensor | None
    seen: Tensor | None

    def __init__(
        self, *, means: Float[Tensor, "classes channels"] | None = None, num_classes: int = 1000
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes came as {num_classes}; 1 or more is expected")
        if means is not None and means.ndim != 2:
            raise ValueError(f"means came with shape {list(means.shape)}; [classes, channels] is expected")
        self.num_classes = num_classes if means is None else len(means)
        self.register_buffer("means", None if means is None else widen(means.detach()))
        self.register_buffer("seen", None)

    def fit(self, student: Float[Tensor, "items ..."], teacher: Float[Tensor, "items ..."]) -> None:
        """Make room for the class means, from a dry run; known ones move to the student's device."""
        if self.means is not None and self.seen is None:
            self.means = self.means.to(student.device)
            return
        shape, device = (self.num_classes, channels(teacher)), student.device
        self.means = torch.zeros(shape, dtype=widen(student[:0]).dtype, device=device)
        self.seen = torch.zeros(self.num_classes, dtype=torch.int64, device=device)

    def forward(
        self,
        student: Float[Tensor, "items *feature"],
        teacher: Float[Tensor, "items *feature"],
        labels: Integer[Tensor, " items"],
        mask: Bool[Tensor, "items *length"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's feature with the teacher's class means and lengths."""
        check_same_shape(student, teacher, advice="put a projector on the student's feature")
        check_same_items(student, teacher)
        check_mask(mask, student.shape)
        student, teacher = blank(mask, student, teacher.detach())
        ours, theirs = (pooled(widen(feature), mask) for feature in (student, teacher))
        check_labels(ours, labels)
        counts = examples(mask)
        known = labelled(labels, counts)
        towards = directions(self._class_means(theirs, torch.where(known, labels, 0).long(), known))
        longer = torch.maximum(*(lengths(rows).squeeze(1) for rows in (ours, theirs)))
        values = 1 - (ours * towards).sum(1) / longer.masked_fill(longer == 0, 1)
        return masked_mean(torch.where(known, values, 0), counts)

    def _class_means(
        self,
        teacher: Float[Tensor, "items channels"],
        labels: Integer[Tensor, " items"],
        known: Bool[Tensor, " items"],
    ) -> Float[Tensor, "items channels"]:
        """The mean of each example's class, after a look at this batch where means are estimated."""
        if self.means is None:
            raise not_fitted("NormDirection")
        if self.means.shape[1] != teacher.shape[1]:
            raise ValueError(
                f"class means came with {self.means.shape[1]} channels and a feature of {teacher.shape[1]}; "
                "as many are expected: pass the means of this layer, or fit again"
            )
        if self.seen is None or not (self.training and torch.is_grad_enabled()):
            return self.means[labels]
        classes = torch.arange(self.num_classes, device=labels.device)
        members = (labels.unsqueeze(1) == classes) & known.unsqueeze(1)
        news = members.sum(0)
        seen = self.seen + news
        gains = product(members.to(teacher.dtype).T, teacher) - self.means * news.unsqueeze(1)
        means = self.means + gains / seen.clamp(min=1).unsqueeze(1)
        self.means.copy_(means)
        self.seen.copy_(seen)
        return means[labels]

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"num_classes={self.num_classes}"
