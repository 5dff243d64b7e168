"""What `distill` does where nothing was said: the terms, the optimiser and its rate, the length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import ValidationError

from tutelage.engine import OptimizerSettings, complaints
from tutelage.errors import ModelError, RecipeError
from tutelage.match import Match
from tutelage.tasks.targets import Targets

__all__ = ["RATES", "read_optimizer", "read_terms", "usual_epochs"]

RATES = {
    "adadelta": 1.0,
    "adagrad": 0.01,
    "adam": 3e-3,
    "adamax": 3e-3,
    "adamw": 3e-3,
    "nadam": 3e-3,
    "radam": 3e-3,
    "rmsprop": 1e-3,
    "sgd": 0.05,
}
"""The learning rate of an optimiser where none was given; of others it is torch's own."""

_STEPS, _LEAST, _MOST = 3000, 10, 400


def usual_epochs(examples: int, batch_size: int) -> int:
    """Passes over the data that make some 3,000 steps, from 10 to 400.

    Example:
        >>> usual_epochs(1_000, 128), usual_epochs(10_000, 128), usual_epochs(1_000_000, 128)
        (375, 38, 10)
    """
    return min(max(round(_STEPS / math.ceil(examples / batch_size)), _LEAST), _MOST)


def read_terms(
    given: Sequence[Match] | None,
    targets: Targets,
    temperature: float | None,
    label_weight: float | None,
) -> list[Match]:
    """The terms that were given, or the usual ones with what was said of them.

    Raises:
        RecipeError: settings of the usual terms beside terms of the user's own.
        ModelError: a temperature or a weight that nothing has.
    """
    for name, value in (("temperature", temperature), ("label_weight", label_weight)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise RecipeError(
                f"{name} came as {value!r}, a {type(value).__name__}; give a number, such as 2.0"
            )
    if given is None:
        return _usual_matches(targets, temperature, label_weight)
    if temperature is not None or label_weight is not None:
        raise RecipeError(
            "temperature and label_weight belong to the usual terms, and matches were given: write them into "
            "these, tutelage.Match(losses.response.SoftTarget(temperature=…), weight=…)"
        )
    return list(given)


def _usual_matches(targets: Targets, temperature: float | None, label_weight: float | None) -> list[Match]:
    """The terms where nothing was said of them: the teacher's word, and labels where there are any.

    Raises:
        ModelError: a temperature or a weight that nothing has.
    """
    losses, found = targets.losses, []
    if temperature is not None and not any(hasattr(loss, "temperature") for loss in losses):
        raise ModelError(
            f"temperature came as {temperature:g}, and answers that are numbers have none; leave it out"
        )
    if label_weight is not None and targets.kind == "none":
        raise ModelError(f"label_weight came as {label_weight:g}, and the data has no labels; leave it out")
    for loss in losses:
        if temperature is not None and hasattr(loss, "temperature"):
            try:
                loss = type(loss)(temperature=temperature)  # type: ignore[call-arg]
            except ValueError as error:
                raise ModelError(str(error)) from error
        own = "teacher" not in loss.needs and label_weight is not None
        found.append(Match(loss, weight=label_weight if own and label_weight is not None else 1.0))
    return found


def read_optimizer(came: Any, lr: float | None = None) -> OptimizerSettings:
    """A name, `{name: {option: value}}`, settings, or None for AdamW; with a rate that suits where none came.

    With a name alone, and without one, the rate falls by a cosine to the end of the run, and SGD has a
    momentum of 0.9.

    Args:
        came: what the user gave.
        lr: a learning rate beside it; None for the optimiser's own.

    Raises:
        RecipeError: something else came.
    """
    if lr is not None and not isinstance(lr, int | float):
        raise RecipeError(f"lr came as {lr!r}, a {type(lr).__name__}; give a number, such as lr=0.01")
    if isinstance(came, torch.optim.Optimizer) or (isinstance(came, type) and hasattr(came, "step")):
        kind = came.__name__ if isinstance(came, type) else type(came).__name__
        name = kind.lower()
        shape = f"a name, or its options: optimizer={name!r}, or {{{name!r}: {{'lr': 0.001}}}}"
        raise RecipeError(
            f"optimizer came as {'the class' if isinstance(came, type) else 'an'} {kind} of torch, and each "
            f"student is given one of its own; give {shape}"
        )
    if came is None:
        came = "adamw"
    try:
        read = OptimizerSettings.read(came)
        if isinstance(came, str):
            read = _alone(read)
        return _usual_rate(read) if lr is None else _with_rate(read, lr)
    except ValidationError as error:
        raise RecipeError(f"optimizer: {complaints(error)}") from error
    except ValueError as error:
        raise RecipeError(f"optimizer: {error}; for example {{'adamw': {{'lr': 0.001}}}}") from error


def _alone(settings: OptimizerSettings) -> OptimizerSettings:
    """An optimiser of which nothing but the name was said."""
    options = {"momentum": 0.9} if settings.name.lower() == "sgd" else {}
    return settings.model_copy(update={"options": options, "schedule": "cosine_annealing_lr"})


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _usual_rate(settings: OptimizerSettings) -> OptimizerSettings:
    wrong = {
        name: held for name, held in settings.options.items() if isinstance(held, str) and _is_number(held)
    }
    if wrong:
        name, held = next(iter(wrong.items()))
        raise RecipeError(
            f"optimizer: {name} came as {held!r}, a str; give a number, such as {float(held):g}"
        )
    rate = RATES.get(settings.name.lower().replace("_", ""))
    if rate is None or "lr" in settings.options:
        return settings
    return settings.model_copy(update={"options": {**settings.options, "lr": rate}})


def _with_rate(settings: OptimizerSettings, lr: float) -> OptimizerSettings:
    if "lr" in settings.options:
        raise RecipeError(
            f"lr came as {lr:g}, and the optimizer has one of {settings.options['lr']:g}; give one of them"
        )
    return settings.model_copy(update={"options": {**settings.options, "lr": lr}})
