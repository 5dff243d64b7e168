"""Optimisers and schedules by their names in torch."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from tutelage.engine.settings import OptimizerSettings
from tutelage.engine.sharding import is_sharded
from tutelage.errors import ModelError, RecipeError, UnknownName

__all__ = ["build_optimizer", "build_schedule"]

_WHOLE = ("T_max", "total_steps", "total_iters")
_LENGTHS = (*_WHOLE, "T_0", "milestones", "step_size", "step_size_down", "step_size_up")
_FUSED = ("SGD", "Adam", "AdamW")
_FUSED_SPREAD = ("Adam", "AdamW")  # torch has these for weights that are spread over processes
_NOT_DATA = {  # these need a closure, other objects or a metric, which the loop does not give
    "LBFGS",
    "ChainedScheduler",
    "ReduceLROnPlateau",
    "SequentialLR",
}


def build_optimizer(settings: OptimizerSettings, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimiser that `settings` name, over `parameters`; in torch's fused form where there is one.

    Raises:
        UnknownName: torch has no optimiser of that name, or it no option of that name.
        RecipeError: it refuses an option's value, or its fused form was asked for where there is none.
        ModelError: there is nothing to train.
    """
    kind = _find("optimizer", settings.name, torch.optim, Optimizer)
    moved = [p for p in parameters if p.requires_grad]
    if not moved:
        raise ModelError("no parameter requires a gradient, so there is nothing to train")
    return _make(kind, moved, _fused(kind, moved, settings.options))  # type: ignore[no-any-return]


def _fused(kind: Any, moved: list[nn.Parameter], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, and one kernel for all parameters where nothing speaks against it."""
    said = {"fused", "foreach", "capturable", "differentiable"} & set(options)
    spread = is_sharded(moved)
    able = kind.__name__ in (_FUSED_SPREAD if spread else _FUSED)
    if spread and not able and options.get("fused"):
        raise RecipeError(
            f"{kind.__name__} came with fused: true, and its weights are spread over processes (sharded: "
            "true), for which torch has no fused form; leave fused out"
        )
    known = all(one.device.type in ("cpu", "cuda", "mps") for one in moved)
    return {**options, "fused": True} if able and known and not said else dict(options)


def build_schedule(
    settings: OptimizerSettings,
    optimizer: Optimizer,
    total_steps: int,
    *,
    per_epoch: int | None = None,
    epochs: int | None = None,
) -> LRScheduler | None:
    """The learning-rate schedule that `settings` name, for a run of `total_steps` updates.

    Lengths that the schedule asks for and the settings leave out become what remains after the warm-up.
    Milestones count from the end of the warm-up too; those below 1 are shares of what remains.

    Args:
        settings: what is wanted.
        optimizer: whose rate is changed.
        total_steps: updates in all.
        per_epoch: updates in an epoch; without it no length can be given in epochs.
        epochs: the length of the run as the user wrote it, where that is in epochs.

    Raises:
        UnknownName: torch has no schedule of that name, or it no option of that name.
        RecipeError: it refuses an option's value, or a length may be meant in epochs or in steps.
    """
    lengths = _Lengths(total_steps, per_epoch, epochs)
    warmup = lengths.read("warmup", settings.warmup, total_steps) if settings.warmup else 0
    length = max(1, total_steps - warmup)
    after = None
    if settings.schedule is not None:
        kind = _find("schedule", settings.schedule, lr_scheduler, LRScheduler)
        wanted = inspect.signature(kind).parameters
        options = {name: length for name in _WHOLE if name in wanted}
        options |= {
            name: lengths.read(name, came, length) if name in _LENGTHS and name in wanted else came
            for name, came in settings.schedule_options.items()
        }
        after = _make(kind, optimizer, options)
    if not warmup:
        return after
    rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    if after is None:
        return rise
    return lr_scheduler.SequentialLR(optimizer, [rise, after], milestones=[warmup])


@dataclass(frozen=True)
class _Lengths:
    """How lengths of a schedule are read, as updates.

    Args:
        total: updates in all.
        per_epoch: updates in an epoch, where there are epochs.
        epochs: of the run, where the user gave its length so.
    """

    total: int
    per_epoch: int | None
    epochs: int | None

    def read(self, name: str, came: Any, whole: int) -> Any:
        """Updates from what the user wrote; each of a list; `whole` is what shares are of."""
        if isinstance(came, list | tuple):
            return [self.read(name, one, whole) for one in came]
        if isinstance(came, str):
            return self._with_unit(name, came)
        if isinstance(came, float) and 0 < came < 1:
            return round(came * whole)
        if isinstance(came, int) and self.epochs is not None and came <= self.epochs < self.total:
            raise RecipeError(
                f"{name} came as {came}, which may be epochs (of {self.epochs}) or steps (of "
                f'{self.total:,}); write "{came} epochs" or "{came} steps"'
            )
        return came

    def _with_unit(self, name: str, came: str) -> int:
        number, _, unit = came.partition(" ")
        factor = {"epoch": self.per_epoch, "step": 1}.get(unit.strip().removesuffix("s"))
        try:
            value = float(number)
        except ValueError:
            factor = None
        if factor is None or value < 0:
            raise RecipeError(
                f"{name} came as {came!r}; expected a number of updates, such as 2000, one with its unit, "
                'such as "30 epochs" or "2000 steps", or a share of the run, such as 0.5'
            )
        return round(value * factor)


def _find(kind: str, came: str, module: Any, base: type) -> Any:
    legal = {
        name: member
        for name, member in vars(module).items()
        if inspect.isclass(member)
        and issubclass(member, base)
        and member is not base
        and name[0] != "_"
        and name not in _NOT_DATA
    }
    plain = {name.lower(): member for name, member in legal.items()}
    found = plain.get(came.lower().replace("_", ""))
    if found is None:
        raise UnknownName(kind, came, legal)
    return found


def _make(kind: Any, first: Any, options: Mapping[str, Any]) -> Any:
    legal = [
        name for name in inspect.signature(kind).parameters if name not in ("params", "optimizer", "self")
    ]
    for name in options:
        if name not in legal:
            raise UnknownName(f"option of {kind.__name__}", name, legal)
    try:
        return kind(first, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{kind.__name__} refused {dict(options)}: {error}") from error
