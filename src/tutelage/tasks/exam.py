"""How a field examines a network: what is collected of its answers, and what they are worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from tutelage.data import Source
from tutelage.errors import DataError, ModelError
from tutelage.evaluation import Predictions, calibration, predict, quality
from tutelage.losses import response
from tutelage.match import Match
from tutelage.tasks.lessons import accuracies, check_lessons, within
from tutelage.types import Batch, Outputs

__all__ = ["Answers", "ClassExam", "Exam", "TokenExam"]

Answers = Any
"""What an exam collects of a network's answers to a split; only the exam looks inside."""


class Exam(ABC):
    """What is collected from a network's answers, and how it is measured.

    A field whose answer is no class (boxes, several heads, numbers, the returns of a policy) writes its own;
    nothing else of the product looks into an answer.

    Attributes:
        metric: what the verdict is about, and what weights are chosen by; a key of `measure`.
        higher_is_better: its direction.
        layers: what is read of a network's answer beside its logits, as `tutelage.capture` names it.
        calibrated: whether answers are probabilities of classes, so that calibration and the agreement of
            student and teacher can be measured.
        lessons: the classes of each part of the data that stages learn one after another; each part is then
            measured after every stage. Empty where there are no parts.
        lesson_given: whether who is asked is told which lesson an example is of.
    """

    metric: str
    higher_is_better: bool = True
    layers: Sequence[str] = ()
    calibrated: ClassVar[bool] = False
    lessons: Sequence[Sequence[int]] = ()
    lesson_given: bool = False

    @abstractmethod
    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Answers:
        """Ask for the answer to each batch, and keep what is needed of it."""

    @abstractmethod
    def measure(self, answers: Answers) -> dict[str, float]:
        """Named numbers, the verdict's metric among them."""

    @abstractmethod
    def alone(self) -> list[Match]:
        """What a student learns by that nobody teaches; fresh ones at each call."""

    def per_example(self, answers: Answers) -> Tensor | None:  # noqa: ARG002
        """What each example adds: numbers whose mean is the metric, shape [n], in the order of the ids.

        None where the metric is no mean over examples; it is then looked at with parts of the examples left
        out, for which answers need `take`.
        """
        return None

    def by_lesson(self, answers: Answers, learnt: Sequence[int]) -> list[float]:  # noqa: ARG002
        """What answers are worth on each lesson, when the classes `learnt` have been; for exams with lessons.

        Raises:
            ModelError: this exam knows of none.
        """
        raise ModelError(
            f"{type(self).__name__} measures no lessons (asked after {list(learnt)}); give it a method "
            "by_lesson(answers, learnt) -> one number for each lesson"
        )

    def clusters(self, answers: Answers, source: Source) -> Tensor:  # noqa: ARG002
        """The example that each item is of: an image, not its boxes; a document, not its tokens."""
        ids: Tensor = answers.ids
        return ids

    def calibration(self, answers: Answers) -> dict[str, Any]:
        """Calibration, where answers are probabilities of classes; empty elsewhere."""
        return calibration(answers) if self.calibrated else {}


class _PredictionExam(Exam):
    """What is answered by logits over classes, of examples or of their positions."""

    calibrated = True

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Predictions:
        """Logits, labels and scores."""
        return predict(answer, batches, device=device)

    def alone(self) -> list[Match]:
        """Labels."""
        return [Match(response.HardLabel())]


class ClassExam(_PredictionExam):
    """A class for each example, measured by accuracy.

    Args:
        watch: classes whose recall is reported by itself.
        lessons: the classes of each part that stages learn one after another; none where there are no parts.
        lesson_given: compare the classes of an example's own lesson alone, as its own head would
            (task-incremental); else all classes compete (class-incremental), and `accuracy_in_lesson` says
            what the first would give.

    Raises:
        DataError: a lesson of fewer than two classes, or a class in two of them.
    """

    metric = "accuracy"

    def __init__(
        self,
        *,
        watch: Sequence[int] = (),
        lessons: Sequence[Sequence[int]] = (),
        lesson_given: bool = False,
    ) -> None:
        self._measure = partial(quality.classification, watch=tuple(watch))
        self.lessons, self.lesson_given = check_lessons(lessons), lesson_given
        if lesson_given and not lessons:
            raise DataError("lesson_given came without lessons; say which classes each has")

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Predictions:
        """Logits, labels and scores; where the lesson is given, of its classes alone."""
        if not self.lesson_given:
            return super().ask(answer, batches, device=device)

        def own(batch: Batch) -> Outputs:
            outputs = answer(batch)
            logits = outputs.logits if outputs.head is None else outputs.head.whole()
            if logits is None:
                return outputs
            return replace(outputs, logits=within(logits, batch.labels, self.lessons), head=None)

        return super().ask(own, batches, device=device)

    def measure(self, answers: Predictions) -> dict[str, float]:
        """Accuracy and its kin."""
        found = self._measure(answers)
        if self.lessons and not self.lesson_given:
            known = answers.labelled
            own = within(known.logits, known.labels, self.lessons).argmax(-1)
            found["accuracy_in_lesson"] = float((own == known.labels).double().mean())
        return found

    def by_lesson(self, answers: Predictions, learnt: Sequence[int]) -> list[float]:
        """The accuracy on each lesson, among the classes learnt so far and the lesson's own.

        Where the lesson is given, among its own.
        """
        known = answers.labelled
        return accuracies(known.logits, known.labels, self.lessons, () if self.lesson_given else learnt)

    def per_example(self, answers: Predictions) -> Tensor | None:
        """1 where the answer is right, of examples with a label."""
        known = answers.labelled
        order = known.ids.argsort()
        return (known.classes == known.labels).double()[order]


class TokenExam(_PredictionExam):
    """The next token at each position, measured by its negative log-likelihood (NLL).

    Args:
        lengths: how many bytes of text each token stands for; None where that is not known.
    """

    metric = "nll"
    higher_is_better = False

    def __init__(self, *, lengths: Tensor | None = None) -> None:
        self.lengths = lengths

    def measure(self, answers: Predictions) -> dict[str, float]:
        """NLL, perplexity, accuracy, and bits per byte where the lengths are known."""
        return quality.next_token(answers, lengths=self.lengths)

    def clusters(self, answers: Predictions, source: Source) -> Tensor:
        """The document of each position."""
        return source.examples_of(answers.ids)
