"""Exams of answers that are not one class: several labels, yes or no, numbers, shares, a teacher's word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from tutelage.errors import DataError
from tutelage.evaluation import Predictions
from tutelage.losses import response
from tutelage.match import Match
from tutelage.tasks.collected import Collected, collect
from tutelage.tasks.exam import ClassExam, Exam
from tutelage.types import UNLABELLED, Batch, Outputs

__all__ = ["AgreementExam", "LabelsExam", "SharesExam", "ValuesExam"]


class _CollectedExam(Exam):
    """Numbers beside numbers."""

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Collected:
        """Outputs and labels."""
        return collect(answer, batches, device=device)


class ValuesExam(_CollectedExam):
    """Numbers, one or several, measured by their mean squared error (MSE)."""

    metric = "mse"
    higher_is_better = False

    def measure(self, answers: Collected) -> dict[str, float]:
        """Mean squared and absolute error over all known values, its root, and the share explained (R²)."""
        known = _known(answers)
        gaps, labels = (answers.outputs - answers.labels)[known], answers.labels[known]
        mse = float(gaps.square().mean())
        spread = float((labels - labels.mean()).square().mean())
        found = {"mse": mse, "rmse": mse**0.5, "mae": float(gaps.abs().mean())}
        return found | ({"r2": 1 - mse / spread} if spread > 0 else {})

    def per_example(self, answers: Collected) -> Tensor | None:
        """The squared error of each example; None where examples have unequal numbers of known values."""
        return _mean_of_each((answers.outputs - answers.labels).square(), answers)

    def alone(self) -> list[Match]:
        """Values."""
        return [Match(response.ValueLabel())]


class LabelsExam(_CollectedExam):
    """Yes or no for each of several labels, measured by mean average precision (mAP); one alone by accuracy.

    Args:
        width: how many labels there are.
    """

    def __init__(self, width: int) -> None:
        self.metric = "accuracy" if width == 1 else "mean_average_precision"

    def measure(self, answers: Collected) -> dict[str, float]:
        """Share of right answers, F1 over all labels (micro) and by label (macro), and average precision."""
        known = _known(answers)
        said, true = answers.outputs > 0, answers.labels > 0.5
        found = {
            "accuracy": float((said == true)[known].double().mean()),
            "micro_f1": _f1(said[known], true[known]),
            "macro_f1": _mean([_f1(said[k, i], true[k, i]) for i, k in enumerate(known.T)]),
        }
        precisions = [_average_precision(answers.outputs[k, i], true[k, i]) for i, k in enumerate(known.T)]
        return found | {"mean_average_precision": _mean([one for one in precisions if one is not None])}

    def per_example(self, answers: Collected) -> Tensor | None:
        """Whether each answer is right, where there is one a label."""
        if self.metric != "accuracy":
            return None
        right = (answers.outputs > 0) == (answers.labels > 0.5)
        return _mean_of_each(torch.where(answers.labels.isnan(), torch.nan, right.double()), answers)

    def alone(self) -> list[Match]:
        """Labels."""
        return [Match(response.BinaryLabel())]


class SharesExam(ClassExam):
    """A share for each class as a label, measured by accuracy: whether the greatest share was named."""

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Predictions:
        """Logits, labels and scores."""
        return super().ask(answer, map(_named, batches), device=device)

    def alone(self) -> list[Match]:
        """Shares."""
        return [Match(response.SoftLabel())]


class AgreementExam(ClassExam):
    """No labels at all: how often the student names the class that its teacher names."""

    metric = "agreement"

    def measure(self, answers: Predictions) -> dict[str, float]:
        """The share of examples on which both name one class."""
        found = super().measure(answers)
        return {"agreement": found["accuracy"], "disagreements": found["errors"]}


def _named(batch: Batch) -> Batch:
    """A batch whose shares of classes are the class of the greatest share."""
    labels: Any = batch.labels
    if labels is None or not labels.is_floating_point():
        return batch
    classes = torch.where(labels.sum(-1) > 0, labels.argmax(-1), UNLABELLED)
    return Batch(batch.inputs, batch.ids, classes, batch.mask, batch.keys)


def _known(answers: Collected) -> Tensor:
    known = ~answers.labels.isnan()
    if not bool(known.any()):
        raise DataError(f"none of the {len(answers)} examples has a label, so nothing can be measured")
    return known


def _mean_of_each(values: Tensor, answers: Collected) -> Tensor | None:
    counts = (~answers.labels.isnan()).sum(-1)
    labelled = counts > 0
    if len(set(counts[labelled].tolist())) != 1:
        return None
    order = answers.ids[labelled].argsort()
    return values[labelled].nanmean(-1)[order]


def _f1(said: Tensor, true: Tensor) -> float:
    both = int((said & true).sum())
    either = int(said.sum()) + int(true.sum())
    return 2 * both / either if either else 1.0


def _average_precision(scores: Tensor, true: Tensor) -> float | None:
    """Of one label; None where no example has it."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(true.numpy(), scores.numpy())) if bool(true.any()) else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
