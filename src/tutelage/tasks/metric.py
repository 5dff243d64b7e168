"""A metric of the user's own, in place of the exam's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from tutelage.errors import ModelError, UnknownName
from tutelage.match import Match
from tutelage.tasks.exam import Answers, Exam
from tutelage.types import Batch, Outputs

__all__ = ["NAMED", "Metric", "MetricExam", "named_metric"]


class Metric:
    """A number that says how good answers are.

    Args:
        measure: (outputs, labels) -> a number, from all answers of a split; or a metric of torchmetrics (has
            `update`, `compute` and `reset`).
        name: what to call it; by default its own name.
        higher_is_better: the direction; by default what a metric of torchmetrics says of itself, else True.

    Shapes: outputs [n, k] (logits, or numbers), labels [n] for classes, else [n, k]; without examples that
    have no label.

    Raises:
        ModelError: something else came, or a measure that gives no number.

    Example:
        >>> gap = Metric(lambda outputs, labels: (outputs - labels).abs().max(), name="largest gap",
        ...              higher_is_better=False)
        >>> gap(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))
        3.0
    """

    def __init__(
        self, measure: Any, *, name: str | None = None, higher_is_better: bool | None = None
    ) -> None:
        stateful = all(callable(getattr(measure, part, None)) for part in ("update", "compute", "reset"))
        if not stateful and not callable(measure):
            raise ModelError(
                f"metric came as {measure!r}; expected a function (outputs, labels) -> number, a metric of "
                "torchmetrics, or tutelage.Metric(function, name=…, higher_is_better=…)"
            )
        self._measure, self._stateful = measure, stateful
        own = type(measure).__name__ if stateful else getattr(measure, "__name__", type(measure).__name__)
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", own).lower()
        self.name = name or ("metric" if "<" in snake else snake)
        told = getattr(measure, "higher_is_better", None) if higher_is_better is None else higher_is_better
        self.higher_is_better = True if told is None else bool(told)

    def __call__(self, outputs: Tensor, labels: Tensor) -> float:
        """The number."""
        if self._stateful:
            self._measure.reset()
            self._measure.update(outputs, labels)
            value = self._measure.compute()
        else:
            value = self._measure(outputs, labels)
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"the metric {self.name} gave {value!r}; one number is expected: average it over classes"
            ) from error


NAMED: Mapping[str, Mapping[str, bool]] = {
    "classes": {"accuracy": True, "errors": False, "balanced_accuracy": True, "worst_class_accuracy": True},
    "several": {"mean_average_precision": True, "accuracy": True, "micro_f1": True, "macro_f1": True},
    "values": {"mse": False, "rmse": False, "mae": False, "r2": True},
    "none": {"agreement": True, "disagreements": False},
}
"""What exams measure beside their own metric, by the kind of labels: name -> whether higher is better."""


def named_metric(exam: Exam, name: str, kind: str) -> Exam:
    """The exam with the verdict about another of its own numbers.

    Args:
        exam: what collects answers.
        name: of the number.
        kind: of the labels, see `tutelage.tasks.targets.Kind`.

    Raises:
        UnknownName: the exam measures no such number.

    Example:
        >>> from tutelage.tasks.other_exams import ValuesExam
        >>> named_metric(ValuesExam(), "r2", "values").higher_is_better
        True
    """
    legal = NAMED["classes" if kind == "shares" else kind]
    if name not in legal:
        hint = "Or give a function (outputs, labels) -> number, or a metric of torchmetrics."
        raise UnknownName("metric of such labels", name, legal, hint=hint)
    return exam if name == exam.metric else _NamedExam(exam, name, higher_is_better=legal[name])


class MetricExam(Exam):
    """Another exam whose verdict is about a metric of the user's own; its own numbers stand beside.

    Args:
        exam: what collects answers.
        metric: what the verdict is about.
    """

    def __init__(self, exam: Exam, metric: Metric) -> None:
        self.exam, self._metric = exam, metric
        self.metric, self.higher_is_better = metric.name, metric.higher_is_better
        self.layers, self.calibrated = exam.layers, exam.calibrated  # type: ignore[misc]

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Answers:
        """As the other does."""
        return self.exam.ask(answer, batches, device=device)

    def measure(self, answers: Answers) -> dict[str, float]:
        """The metric first, then the other exam's numbers."""
        held: Any = getattr(answers, "labelled", answers)  # of classes, those with a label
        outputs, labels = (
            (held.logits, held.labels) if hasattr(held, "logits") else (held.outputs, held.labels)
        )
        return {self.metric: self._metric(outputs, labels), **self.exam.measure(answers)}

    def alone(self) -> list[Match]:
        """As the other says."""
        return self.exam.alone()


class _NamedExam(MetricExam):
    """Another exam whose verdict is about another of its own numbers."""

    def __init__(self, exam: Exam, name: str, *, higher_is_better: bool) -> None:
        super().__init__(exam, Metric(_never, name=name, higher_is_better=higher_is_better))

    def measure(self, answers: Answers) -> dict[str, float]:
        """That number first."""
        own = self.exam.measure(answers)
        return {self.metric: own[self.metric], **own}


def _never(outputs: Tensor, labels: Tensor) -> float:
    raise AssertionError((outputs, labels))
