"""What is left of an answer when its logits are gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.types import UNLABELLED

__all__ = ["Scores"]

_NUMBERS = 2**22  # in a block of logits, so that a block's float64 softmax takes 32 MB


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Four numbers for each item: all that quality and calibration ask for.

    Args:
        classes: the class with the greatest logit; the lowest index of equals.
        confidence: its probability.
        log_prob: the log-probability of the label, in nats; NaN without a label.
        squared_error: squared distance of the probabilities to the one-hot label; NaN without a label.

    Shapes: [n] each; all but the classes in float64.
    """

    classes: Int[Tensor, " n"]
    confidence: Float[Tensor, " n"]
    log_prob: Float[Tensor, " n"]
    squared_error: Float[Tensor, " n"]

    @classmethod
    def of(cls, logits: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Scores:
        """Read the logits at temperature 1, where they lie, a block at a time; the scores are on the CPU.

        Example:
            >>> scores = Scores.of(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([1]))
            >>> scores.classes.item(), round(scores.squared_error.item(), 4)
            (0, 0.875)
        """
        rows = max(1, _NUMBERS // max(1, logits.shape[1]))
        starts = range(0, max(1, len(logits)), rows)
        return cls.join([cls._of_block(logits[at : at + rows], labels[at : at + rows]) for at in starts])

    @classmethod
    def join(cls, parts: Sequence[Scores]) -> Scores:
        """Those of several sets, one after the other."""
        return cls(*(torch.cat(column) for column in zip(*map(_columns, parts), strict=True)))

    def take(self, places: Int[Tensor, " k"]) -> Scores:
        """Those of the items at these places."""
        return Scores(*(column[places] for column in _columns(self)))

    @classmethod
    def _of_block(cls, logits: Tensor, labels: Tensor) -> Scores:
        known = labels != UNLABELLED
        label = torch.where(known, labels, 0).unsqueeze(-1)
        wide = logits.cpu().double() if logits.device.type == "mps" else logits.double()
        label = label.to(wide.device)
        log_prob = wide.log_softmax(-1).gather(-1, label)
        probs = wide.softmax(-1)
        confidence = probs.amax(-1)
        gap = probs.scatter_add_(-1, label, -torch.ones_like(log_prob))
        of_label = [log_prob.squeeze(-1).cpu(), gap.square_().sum(-1).cpu()]
        kept = (torch.where(known.cpu(), column, torch.nan) for column in of_label)
        return cls(logits.argmax(-1).cpu(), confidence.cpu(), *kept)


def _columns(scores: Scores) -> tuple[Tensor, ...]:
    return scores.classes, scores.confidence, scores.log_prob, scores.squared_error
