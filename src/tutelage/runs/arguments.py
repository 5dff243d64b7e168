"""What comes to `distill`, read: each argument in the forms that a user may write it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from tutelage.data.frames import known_labels
from tutelage.engine import TrainSettings, complaints, seeded
from tutelage.errors import DataError, ModelError, RecipeError, first_line
from tutelage.match import Match
from tutelage.tasks.metric import Metric
from tutelage.tasks.targets import Targets
from tutelage.teachers import Ensemble, Frozen, Function, Predictor, Teacher
from tutelage.teachers.boosters import is_booster, read_booster

__all__ = [
    "answers_numbers",
    "check_kind_of_teacher",
    "on_cpu",
    "read_callbacks",
    "read_matches",
    "read_metric",
    "read_seeds",
    "read_settings",
    "read_student",
    "read_teacher",
    "read_text_labels",
]


def read_teacher(came: Any, names: Sequence[str] | None = None) -> Teacher:
    """A network, several of them, anything with `predict_proba` or `predict`, a function, or a teacher.

    Args:
        came: what the user gave.
        names: the words that classes 0, 1, … stand for, where labels came as words.

    Raises:
        ModelError: something else came.
    """
    if isinstance(came, Teacher):
        return came
    if isinstance(came, nn.Module):
        return Frozen(came)
    if isinstance(came, Sequence) and came and not isinstance(came, str | bytes):
        members = [read_teacher(one, names) for one in came]
        numbers = any(isinstance(one, Predictor) and one.answers == "numbers" for one in members)
        return Ensemble(members, mean="logits" if numbers else "probabilities")
    if is_booster(came):
        return read_booster(came)
    if hasattr(came, "predict_proba"):
        return _predictor(came, names)
    if callable(getattr(came, "predict", None)):
        return _predictor_of_numbers(came)
    if isinstance(came, type):
        raise ModelError(
            f"the teacher came as the class {came.__name__}; give a trained network of it, such as "
            f"{came.__name__}() with its weights loaded. The teacher comes first, the student second"
        )
    if callable(came):
        _check_reads(came)
        return Function(came)
    raise ModelError(
        f"the teacher came as {_said(came)}; expected a trained nn.Module, a list of them, anything with "
        "predict_proba or predict, a function from inputs to logits, or a tutelage.teachers.Teacher (a "
        "Predictor takes a function from rows to probabilities)"
    )


def _check_reads(came: Callable[..., Any]) -> None:
    """Refuse a function that builds a network, where one from inputs to logits is expected.

    Raises:
        ModelError: it takes nothing.
    """
    try:
        takes = len(inspect.signature(came).parameters)
    except (TypeError, ValueError):  # of builtins
        return
    if takes == 0:
        raise ModelError(
            "the teacher came as a function without arguments, as one that builds a network; give the "
            "trained network itself, or a function from inputs to logits. The teacher comes first, the "
            "student second"
        )


def _predictor(came: Any, names: Sequence[str] | None) -> Predictor:
    own = {str(one): one for one in getattr(came, "classes_", [])}
    if names is not None and own.keys() <= set(names) and own:
        return Predictor(came, classes=[np.asarray(own.get(name, name)).item() for name in names])
    try:
        return Predictor(came)
    except ModelError as error:
        raise ModelError(
            f"{error} In a call of distill give {_in_order(came)} in its place, or give the labels as the "
            "words that it knows"
        ) from error


def _in_order(came: Any) -> str:
    """How to say which class of an estimator is class 0, class 1 and so on, with its own classes as "
    "example."""
    own = getattr(came, "classes_", None)
    if own is None or np.ndim(own) != 1 or len(own) > 10:
        return "tutelage.teachers.Predictor(teacher, classes=[…])"
    names = np.asarray(own).tolist()
    meant = ", ".join(f"label {number} is {name!r}" for number, name in enumerate(names))
    return (
        f"tutelage.teachers.Predictor(teacher, classes={names}), if {meant} (else put them in another order),"
    )


def _predictor_of_numbers(came: Any) -> Predictor:
    """A regressor; a classifier that gives no probabilities is refused."""
    kind = _estimator_type(came)
    if kind not in (None, "regressor"):
        raise ModelError(
            f"the teacher ({type(came).__name__}) is a {kind.replace('_', ' ')} without predict_proba, and "
            "names of classes alone say little; for a classifier give it probabilities, for instance by "
            "sklearn.calibration.CalibratedClassifierCV"
        )
    return Predictor(came, answers="numbers")


def _estimator_type(came: Any) -> str | None:
    """What scikit-learn calls its kind, where it is one of scikit-learn's or like one."""
    if not hasattr(came, "__sklearn_tags__"):
        held = getattr(came, "_estimator_type", None)
        return None if held is None else str(held)
    from sklearn.utils import get_tags

    held = get_tags(came).estimator_type
    return None if held is None else str(held)


def read_student(came: Any) -> Callable[[], nn.Module]:
    """A function that builds the network anew each time.

    Args:
        came: a network, which is copied as it is now, or such a function.

    Raises:
        ModelError: something else came, or the function returns one and the same network twice.
    """
    if isinstance(came, nn.Module):
        original = _copied(came)  # now: a teacher that is the same network is about to be frozen
        return lambda: copy.deepcopy(original)
    if not callable(came):
        raise ModelError(
            f"the student came as {_said(came)}; expected an nn.Module, or a function that builds one"
        )
    with seeded(0):
        first, second = _built(came), _built(came)
    if not isinstance(first, nn.Module):
        raise ModelError(f"the student's function returned {_said(first)}; expected an nn.Module")
    if first is second:
        raise ModelError(
            "the student's function returned the same network twice, so that one training would go on from "
            "another; build a new one in it, or give the network itself, which is copied"
        )
    build: Callable[[], nn.Module] = came
    return build


def answers_numbers(teacher: Teacher) -> bool:
    """Whether a teacher, or one of several, is a regressor."""
    members = list(teacher.members) if isinstance(teacher, Ensemble) else [teacher]
    return any(isinstance(one, Predictor) and one.answers == "numbers" for one in members)


def check_kind_of_teacher(teacher: Teacher, targets: Targets, names: Sequence[str] | None) -> None:
    """Refuse a regressor beside classes, and let several teachers of numbers speak by the mean of these.

    Raises:
        ModelError: the teacher's numbers stand for nothing that the labels are.
    """
    if answers_numbers(teacher) and (targets.kind != "values" or names is not None):
        said = "there are no labels" if targets.kind == "none" else "the labels are classes, or yes and no"
        raise ModelError(
            f"the teacher is a regressor, which answers with numbers, and {said}; give a classifier with "
            "predict_proba, or labels that are numbers"
        )
    if isinstance(teacher, Ensemble) and targets.kind in ("values", "several"):
        teacher.mean = "logits"


def read_matches(came: Any) -> list[Match]:
    """The terms of the student: matches, or losses on logits, one or several.

    Raises:
        ModelError: something that is neither a match nor a loss on logits.
    """
    many = list(came) if isinstance(came, Sequence) else [came]
    return [one if isinstance(one, Match) else Match(one) for one in many]


def read_metric(came: Any) -> Metric:
    """What the verdict is about, in any of the ways to give it.

    Raises:
        ModelError: something else came.
    """
    return came if isinstance(came, Metric) else Metric(came)


def read_text_labels(train: Any, *others: Any) -> tuple[Any, ...]:
    """Splits whose labels are words as splits with numbers, and the words in order or None.

    Args:
        train: a tuple of arrays whose last is the labels; anything else comes back as it is.
        others: the other splits.

    Raises:
        DataError: a word in another split that training data does not have.
    """
    if not (isinstance(train, tuple) and len(train) > 1 and _is_text(train[-1])):
        return (train, *others, None)
    names = sorted({str(one) for one in train[-1]})
    return (*(_numbered(part, names) for part in (train, *others)), names)


def _is_text(labels: Any) -> bool:
    kind = getattr(getattr(labels, "dtype", None), "kind", None)
    held = kind in ("U", "S", "O") or isinstance(labels, list | tuple)
    return held and len(labels) > 0 and all(isinstance(one, str) for one in labels)


def _numbered(part: Any, names: Sequence[str]) -> Any:
    if not (isinstance(part, tuple) and len(part) > 1 and _is_text(part[-1])):
        return part
    place = {name: number for number, name in enumerate(names)}
    unknown = sorted({str(one) for one in part[-1]} - place.keys())
    if unknown:
        raise DataError(
            f"a split has the label {unknown[0]!r}, which the training data does not have"
            + known_labels(names)
        )
    return (*part[:-1], torch.tensor([place[str(one)] for one in part[-1]]))


def on_cpu(device: str | None) -> bool:
    """Whether a run stays on the CPU.

    Raises:
        RecipeError: a device that cannot be had.
    """
    if device is None:
        return False
    name = str(device).partition(":")[0]
    if name == "cpu":
        return True
    there = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if there is None or there.type != name:
        has = "none" if there is None else there.type
        raise RecipeError(
            f"device came as {device!r}, and this machine has {has}; give "
            "device='cpu', or leave it out for what there is. Which of several devices is chosen by "
            "CUDA_VISIBLE_DEVICES or torchrun"
        )
    return False


def read_callbacks(came: Any) -> list[Callable[[Mapping[str, Any]], object]]:
    """A function that hears each line of the history, or several.

    Raises:
        RecipeError: something that cannot be called.
    """
    many = list(came) if isinstance(came, Sequence) and not isinstance(came, str) else [came]
    for one in many:
        if not callable(one) or isinstance(one, type):
            raise RecipeError(
                f"callbacks came with {_said(one)}; expected a function, or a list of them, each called with "
                "a mapping: `label`, `step`, and `terms` or `validation`"
            )
    return many


def read_settings(given: Mapping[str, Any]) -> TrainSettings:
    """Lengths and choices of training.

    Raises:
        RecipeError: a value that cannot be.
    """
    try:
        return TrainSettings(**given)
    except ValidationError as error:
        raise RecipeError(f"distill came with {complaints(error)}") from error


def read_seeds(came: Any) -> list[int]:
    """How many seeds, from 0 on, or which ones.

    Raises:
        RecipeError: none, a seed twice, or one that is no whole number from 0 on.
    """
    seeds = list(range(came)) if isinstance(came, int) else list(came)
    if not seeds or any(not isinstance(seed, int) or seed < 0 for seed in seeds):
        raise RecipeError(
            f"seeds came as {came!r}; expected how many, 1 or more, or a list of whole numbers from 0"
        )
    if len(set(seeds)) < len(seeds):
        raise RecipeError(
            f"seeds came as {came!r}; each may come once: a repeated run is no further evidence"
        )
    return seeds


def _copied(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"the student ({type(network).__name__}) cannot be copied: {first_line(error)}. Give a function "
            "that builds it anew, in place of the network"
        ) from error


def _built(build: Callable[[], Any]) -> Any:
    try:
        return build()
    except TypeError as error:
        raise ModelError(
            f"the student's function cannot be called without arguments: {first_line(error)}. Give a "
            "function that builds the network, such as `lambda: Net(10)`"
        ) from error


def _said(came: Any) -> str:
    return repr(came) if isinstance(came, str) else f"a {type(came).__name__}"
