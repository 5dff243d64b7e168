"""The probability of pieces of text, whatever tokens they are made of."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses import Loss
from tutelage.losses.reduction import check_labels, check_logits, check_mask, masked_mean, spread, widen
from tutelage.types import UNLABELLED

__all__ = ["SpanTarget"]

_LEAST = 1e-6


class SpanTarget(Loss):
    """Approximate likelihood matching (ALM): spans of text, as likely for the student as for a teacher.

    Two tokenizers cut a text at different places. Between two places where both cut stands a span of one or
    several tokens of each, and its probability is the product of theirs. The two probabilities are compared
    as those of yes and no.

    Shapes: student [items, length, classes]; teacher [items, length, 2], where the span begins that a
    position is about, −1 for none, and its log-probability, as `across.Across` gives them; labels
    [items, length], the next tokens; mask likewise -> a scalar: the sum over spans of KL(teacher ‖ student)
    in nats, over the number of unmasked positions. Range 0 to infinity; zero where all spans are as likely.
    A span that is masked or unlabelled in part adds 0.

    Raises:
        ValueError: shapes differ, or labels or mask do not fit.

    Source: Minixhofer et al., Cross-Tokenizer Distillation via Approximate Likelihood Matching, 2025,
    section 3, binarised at the span's own probability. Differences: the forward KL, no temperature, and the
    mean over positions, so that micro-batches add up.

    Example:
        >>> teacher = torch.tensor([[[0.0, -0.6931], [0.0, -0.6931]]])  # one span of two tokens, ½
        >>> loss = SpanTarget()(torch.zeros(1, 2, 2), teacher, torch.tensor([[0, 1]]))
        >>> print(f"{loss.item():.4f}")  # the student's ¼: ½ (½ log 2 + ½ log ⅔)
        0.0719
    """

    place = "logits"
    layouts = ("tokens",)
    any_widths = True

    def forward(
        self,
        student: Float[Tensor, "items length classes"],
        teacher: Float[Tensor, "items length two"],
        labels: Integer[Tensor, "items length"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the probabilities of spans."""
        check_logits(student)
        items = student.shape[:-1]
        if teacher.shape != (*items, 2):
            raise ValueError(
                f"the teacher came with shape {list(teacher.shape)}; {[*items, 2]} is expected, spans as the "
                "teacher `across` gives them with answers: spans"
            )
        check_labels(student, labels)
        check_mask(mask, items)
        counts = labels != UNLABELLED
        if mask is not None:
            counts = counts & spread(mask, items)
        own = widen(student).log_softmax(-1)
        own = own.gather(-1, labels.masked_fill(labels == UNLABELLED, 0).unsqueeze(-1)).squeeze(-1)
        return masked_mean(_of_spans(own, teacher.detach(), counts), mask)


def _of_spans(own: Tensor, teacher: Tensor, counts: Tensor) -> Tensor:
    """The divergence of each span at its first position, 0 elsewhere."""
    number = teacher[..., 0].long()
    rows, length = number.shape
    places = torch.arange(rows, device=number.device).unsqueeze(1) * length + number.clamp(min=0)
    inside = number >= 0
    flat = places[inside]
    sums = own.new_zeros(rows * length).index_add(0, flat, own[inside])
    missing = torch.zeros_like(sums).index_add(0, flat, (~counts[inside]).to(sums))
    said = torch.full_like(sums, -1.0).index_copy(0, flat, widen(teacher[..., 1])[inside].to(sums))
    there = torch.zeros_like(sums).index_fill(0, flat, 1).bool() & (missing == 0)
    ours, theirs = (held.masked_fill(~there, -1).clamp(max=-_LEAST) for held in (sums, said))
    values = theirs.exp() * (theirs - ours) + _other(theirs).exp() * (_other(theirs) - _other(ours))
    values = values.masked_fill(~there, 0)
    first = inside.clone()
    first[:, 1:] &= number[:, 1:] != number[:, :-1]
    return torch.where(first, values[places], 0)


def _other(log_prob: Tensor) -> Tensor:
    """log(1 − p)."""
    return torch.log(-torch.expm1(log_prob))
