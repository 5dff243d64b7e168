"""Probabilities of two vocabularies, compared by rank."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, masked_mean
from tutelage.losses.softened import check_temperature, soften

__all__ = ["SortedProbabilities"]


class SortedProbabilities(Loss):
    """Universal logit distillation (ULD): sorted probabilities, for teachers of another vocabulary.

    Whatever the classes are called, the student is to be as sure as the teacher: its likeliest class as
    likely as the teacher's likeliest, the second as the second. It is the Wasserstein distance of the two
    distributions where any class may stand for any other at one price. The shorter one is filled up with
    probabilities of 0.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.

    Shapes: student [items, classes] or [items, length, classes], teacher the same items with as many classes
    as it has, mask [items] or [items, length] -> a scalar, the mean over unmasked items of Σ |q − p| over
    ranks. An item of which the teacher's logits are all −inf has no answer, and adds 0. Range 0 to 2; zero
    where the sorted softmaxes are equal.

    Raises:
        ValueError: the temperature is out of range, items differ, or the mask does not fit.

    Source: Boizard et al., Towards Cross-Tokenizer Distillation: the Universal Logit Distillation Loss for
    LLMs, 2024, equation 3. Differences: a temperature; which positions of the two texts belong together is
    the teacher's to say, and not by their number.

    Example:
        >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.1, 0.7, 0.2]]).log()
        >>> print(f"{SortedProbabilities()(student, teacher).item():.4f}")  # .5 .5 0 and .7 .2 .1
        0.6000
    """

    place = "logits"
    any_widths = True

    def __init__(self, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items others"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the probabilities of both by rank."""
        check_logits(student)
        check_logits(teacher)
        if student.shape[:-1] != teacher.shape[:-1]:
            raise ValueError(
                f"the student came with items {list(student.shape[:-1])} and the teacher with "
                f"{list(teacher.shape[:-1])}; equal ones are expected, of as many classes as each has"
            )
        items = student.shape[:-1]
        check_mask(mask, items)
        teacher = teacher.detach()
        if mask is not None:
            rows = mask.reshape(*mask.shape, *[1] * (len(items) - mask.ndim)).expand(items)
            student, teacher = blank(rows, student, teacher)
        silent = torch.isneginf(teacher).all(-1, keepdim=True)
        ours, theirs = (
            soften(held.masked_fill(silent, 0), self.temperature).exp().sort(dim=-1, descending=True).values
            for held in (student, teacher)
        )
        width = max(ours.shape[-1], theirs.shape[-1])
        ours, theirs = (torch.nn.functional.pad(held, (0, width - held.shape[-1])) for held in (ours, theirs))
        gaps = (ours - theirs).abs().sum(-1).masked_fill(silent.squeeze(-1), 0)
        return masked_mean(gaps, mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}"
