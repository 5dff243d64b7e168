"""Numbers that are to rank as labels do."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.errors import DataError
from tutelage.tasks.collected import Collected
from tutelage.tasks.other_exams import ValuesExam

__all__ = ["CorrelationExam", "correlations"]


class CorrelationExam(ValuesExam):
    """A number for each text, measured by Spearman's rank correlation with the labels."""

    metric = "spearman"
    higher_is_better = True

    def measure(self, answers: Collected) -> dict[str, float]:
        """Spearman's and Pearson's correlation, and errors."""
        known = ~answers.labels.isnan().any(-1)
        if int(known.sum()) < 2:
            raise DataError(f"{int(known.sum())} texts have a label; a correlation needs at least two")
        ours, labels = answers.outputs[known].flatten(), answers.labels[known].flatten()
        return correlations(ours, labels) | super().measure(answers)

    def per_example(self, answers: Collected) -> Tensor | None:  # noqa: ARG002
        """None: a correlation is no mean over texts."""
        return None


def correlations(ours: Tensor, labels: Tensor) -> dict[str, float]:
    """Spearman's rank correlation, equal numbers sharing a rank, and Pearson's; 0 where one side is constant.

    Args:
        ours, labels: numbers [n].

    Example:
        >>> correlations(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([10.0, 20.0, 30.0]))["spearman"]
        1.0
    """
    from scipy.stats import rankdata

    ranks = (torch.from_numpy(rankdata(held.numpy())) for held in (ours, labels))
    return {"spearman": _pearson(*ranks), "pearson": _pearson(ours.double(), labels.double())}


def _pearson(one: Tensor, other: Tensor) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = float(one.norm() * other.norm())
    return round(float(one @ other) / scale, 12) if scale > 0 else 0.0
