"""Anything with `predict_proba` or `predict` as a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tutelage.data import keys_of, reading
from tutelage.errors import ModelError, UnknownName
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs, map_tensors

__all__ = ["Predictor"]

Array = npt.NDArray[Any]

_SHOWN = 10
_REMEMBERED = 2**26  # numbers of answers that are kept, 256 MB


class Predictor(Teacher):
    """A forest, a booster, a pipeline: whatever turns rows into probabilities, or into numbers.

    What it said of an example is remembered, since it says the same again and takes longer than the student.
    Its logits are log max(p, epsilon): their softmax gives the probabilities back, up to the floor. A forest
    says p = 0 often, and log 0 would make every loss infinite. Numbers are taken as they are.

    Args:
        predict_proba: rows [N, F] -> probabilities [N, C], or an object that has it as a method; with
            numbers, rows -> [N] or [N, k], or an object with `predict`.
        epsilon: the floor of a probability, in (0, 1). The default, 1e-6, puts the lowest logit at -13.8.
        classes: which of the predictor's classes stands for class 0, 1, … of the student. Needed when its
            `classes_` are not 0 … C-1; a class that the predictor never saw gets the floor. Without
            `classes_`, its classes are the numbers of its columns.
        answers: "probabilities" or "numbers".

    Attributes:
        called: the kind of what answers, for messages.
        table: a batch's inputs -> the rows to ask about, such as those of a frame; None for the inputs
            themselves.

    Shapes:
        batch: inputs [N, …], a tensor on any device; flattened to [N, F], in float32, or float64 if it is
            float64 or integer.
        returns: logits [N, C], float32, on the inputs' device; within [log epsilon, 0]. Numbers [N, k].

    Raises:
        ModelError: no `predict_proba`; classes that are not 0 … C-1 and no `classes`; when called, inputs
            that are not a tensor, or answers that are not probabilities or not finite numbers.
        UnknownName: other answers.
        ValueError: a floor outside (0, 1).

    Source:
        Bucilua, Caruana and Niculescu-Mizil 2006, "Model Compression": an ensemble's answers, trees among
        them, teach one network. The floor is ours.

    Example:
        >>> teacher = Predictor(lambda rows: np.full((len(rows), 4), 0.25))
        >>> teacher(Batch(inputs=torch.zeros(2, 3), ids=torch.arange(2))).logits.softmax(-1)[0]
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    def __init__(
        self,
        predict_proba: Callable[[Array], Array] | Any,
        *,
        epsilon: float = 1e-6,
        classes: Sequence[Any] | None = None,
        answers: Literal["probabilities", "numbers"] = "probabilities",
    ) -> None:
        super().__init__()
        if not 0 < epsilon < 1:
            raise ValueError(f"epsilon {epsilon} came. Expected a floor between 0 and 1, such as 1e-6.")
        if answers not in ("probabilities", "numbers"):
            raise UnknownName("kind of answers", str(answers), ("probabilities", "numbers"))
        name = "predict" if answers == "numbers" else "predict_proba"
        method = getattr(predict_proba, name, predict_proba)
        if not callable(method):
            raise ModelError(
                f"a {type(predict_proba).__name__} came. Expected a function from rows to {answers}, or "
                f"an object with {name}."
            )
        self.epsilon, self.answers = epsilon, answers
        self.table: Callable[[Any], Any] | None = None
        self._predict: Callable[[Array], Any] = method
        owner = getattr(method, "__self__", predict_proba)
        own = None if answers == "numbers" else getattr(owner, "classes_", None)
        self._columns = _columns(own, classes)
        self._known: dict[tuple[int, int], Tensor] = {}
        self.called = type(owner).__name__
        self._own = None if own is None else [np.asarray(one).item() for one in own]

    @property
    def names(self) -> list[Any]:
        """Its own classes, in the order in which they stand for class 0, 1, …; empty of numbers."""
        if self._own is None:
            return []
        return (
            self._own if self._columns is None else [self._own[n] for n in self._columns.tolist() if n >= 0]
        )

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        read = reading(batch, self.reads)
        if not isinstance(read.inputs, Tensor) and self.table is None:
            _rows(read.inputs)  # which refuses them
        keys = [(one, other) for one, other in keys_of(replace(read, keys=None, shown=None)).tolist()]
        return Outputs(self._remembered(read.inputs, keys).to(batch.ids.device))

    def _remembered(self, inputs: Any, keys: list[tuple[int, int]]) -> Tensor:
        """Answers by what is asked: an example that comes again, to the byte, is not asked about again."""
        new = [number for number, key in enumerate(keys) if key not in self._known]
        if new:
            found = self._answers(map_tensors(inputs, lambda held: held[new]))
            if (len(self._known) + len(new)) * found[0].numel() > _REMEMBERED:
                self._known.clear()
                found, new = self._answers(inputs), list(range(len(keys)))
            self._known.update((keys[number], one) for number, one in zip(new, found, strict=True))
        return torch.stack([self._known[key] for key in keys])

    def _answers(self, inputs: Any) -> Tensor:
        """Logits, or numbers, [N, …] float32."""
        rows = _rows(inputs) if self.table is None else self.table(inputs)
        answered = np.asarray(self._predict(rows), dtype=np.float64)
        if self.answers == "numbers":
            numbers = _checked_numbers(answered, len(rows)).astype(np.float32)
            return torch.from_numpy(numbers)
        _check_probabilities(answered, len(rows))
        if self._columns is None:
            probabilities = answered
        else:
            seen = self._columns >= 0
            _check_columns(answered, int(seen.sum()))
            probabilities = np.zeros((len(rows), len(self._columns)))
            probabilities[:, seen] = answered[:, self._columns[seen]]
        logits = np.log(np.clip(probabilities, self.epsilon, 1.0)).astype(np.float32)
        return torch.from_numpy(logits)


def _columns(own: Any, wanted: Sequence[Any] | None) -> npt.NDArray[np.int64] | None:
    """The predictor's column for each class of the student, -1 where it has none; None: as they are."""
    if own is not None and any(np.ndim(name) for name in own):
        raise ModelError("the predictor has several outputs, each with its own classes. Give it one of them.")
    legal = None if own is None else [np.asarray(name).item() for name in own]
    if wanted is None:
        if legal is None or legal == list(range(len(legal))):
            return None
        raise ModelError(
            f"the predictor's classes are {_few(legal)}. Expected 0 … {len(legal) - 1}. Give classes=…, the "
            "one that stands for class 0, for class 1, and so on; or a regressor, if they are numbers to "
            "learn."
        )
    if legal is None:
        legal = list(range(len(wanted)))
    if len(set(wanted)) != len(wanted) or not set(legal) <= set(wanted):
        raise ModelError(
            f"classes={_few(list(wanted))} came for a predictor with the classes {_few(legal)}. Expected "
            "each of these once."
        )
    return np.array([legal.index(name) if name in legal else -1 for name in wanted], dtype=np.int64)


def _few(names: list[Any]) -> str:
    """Names, of which the first are enough to know them by."""
    return str(names) if len(names) <= _SHOWN else f"{str(names[:_SHOWN])[:-1]}, … {len(names):,} in all]"


def _rows(inputs: Any) -> Array:
    if not isinstance(inputs, Tensor):
        raise ModelError(
            f"inputs of type {type(inputs).__name__} came to a Predictor. Expected one tensor [N, …]."
        )
    rows = inputs.detach().cpu().reshape(len(inputs), -1)
    if not rows.is_floating_point():
        rows = rows.double()
    return (rows if rows.dtype == torch.float64 else rows.float()).numpy()


def _checked_numbers(answered: Array, count: int) -> Array:
    """Numbers [N, k]."""
    if answered.ndim not in (1, 2) or len(answered) != count or not np.isfinite(answered).all():
        raise ModelError(
            f"predict answered with shape {answered.shape} for {count} rows, not all of it finite numbers. "
            f"Expected [{count}] or [{count}, values]."
            if answered.ndim in (1, 2) and len(answered) == count
            else f"predict answered with shape {answered.shape} for {count} rows. Expected [{count}] or "
            f"[{count}, values]."
        )
    return answered.reshape(count, -1)


def _check_probabilities(answered: Array, count: int) -> None:
    if answered.ndim != 2 or len(answered) != count:
        raise ModelError(
            f"predict_proba answered with shape {answered.shape} for {count} rows. Expected [{count}, "
            "classes]."
        )
    if not (np.all(answered >= 0) and np.allclose(answered.sum(1), 1.0, atol=1e-3)):
        raise ModelError(
            "predict_proba answered with rows that are not probabilities (from 0, with sum 1). Give a "
            "method that returns probabilities, not scores."
        )


def _check_columns(answered: Array, expected: int) -> None:
    if answered.shape[1] != expected:
        raise ModelError(f"predict_proba answered with {answered.shape[1]} classes. Expected {expected}.")
