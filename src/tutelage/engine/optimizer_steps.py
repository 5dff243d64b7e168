"""What moves the weights: an optimiser and a schedule for each turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tutelage.engine.optimizers import build_optimizer, build_schedule
from tutelage.engine.settings import OptimizerSettings
from tutelage.engine.sharding import spread_moments_, whole
from tutelage.engine.spread_tensors import is_spread
from tutelage.errors import ModelError, RecipeError, UnknownName
from tutelage.types import Turn

__all__ = ["OptimizerSteps"]


class OptimizerSteps:
    """The optimisers and schedules of some turns, by the turns' names.

    Args:
        turns: whose parameters are moved.
        optimizers: settings by the turn's name.
        total_steps: batches in all; a turn makes `repeat` updates on each.
        clip: the largest norm of a turn's gradient, or None.
        per_epoch: batches in an epoch.
        epochs: of the run, where its length was given so.

    Raises:
        ModelError: two turns of one name.
        UnknownName: settings for a turn that is not there.
        RecipeError: a turn without settings.
    """

    def __init__(
        self,
        turns: Sequence[Turn],
        optimizers: Mapping[str, OptimizerSettings],
        *,
        total_steps: int,
        clip: float | None,
        per_epoch: int | None = None,
        epochs: int | None = None,
    ) -> None:
        _check_names(turns, optimizers)
        self.clip = clip
        self.optimizers = {t.name: build_optimizer(optimizers[t.name], t.parameters) for t in turns}
        self.schedules = {
            t.name: build_schedule(
                optimizers[t.name],
                self.optimizers[t.name],
                total_steps * t.repeat,
                per_epoch=None if per_epoch is None else per_epoch * t.repeat,
                epochs=epochs,
            )
            for t in turns
        }

    def clear(self, turn: Turn) -> None:
        """Forget the gradients of a turn's parameters."""
        self.optimizers[turn.name].zero_grad(set_to_none=True)

    def move(self, turn: Turn) -> None:
        """Clip, update, and go on in the schedule."""
        if self.clip is not None:
            _clip_(turn.parameters, self.clip)
        self.optimizers[turn.name].step()
        schedule = self.schedules[turn.name]
        if schedule is not None:
            schedule.step()

    def learning_rates(self) -> dict[str, float]:
        """The learning rate of each turn's first group."""
        return {name: held.param_groups[0]["lr"] for name, held in self.optimizers.items()}

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {
            "optimizers": {name: held.state_dict() for name, held in self.optimizers.items()},
            "schedules": {
                name: held.state_dict() for name, held in self.schedules.items() if held is not None
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        for name, optimizer in self.optimizers.items():
            forms = [group.get("fused") for group in optimizer.param_groups]
            optimizer.load_state_dict(state["optimizers"][name])
            for group, fused in zip(optimizer.param_groups, forms, strict=True):
                if "fused" in group:  # where weights are spread it may be another than where they are whole
                    group["fused"] = fused
            spread_moments_(optimizer)
        for name, held in state["schedules"].items():
            schedule = self.schedules[name]
            assert schedule is not None
            schedule.load_state_dict(held)


def _clip_(parameters: Sequence[nn.Parameter], limit: float) -> None:
    """Shorten the gradient to a norm, that of whole parameters and of spread ones together."""
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    kinds = [[p for p in moved if is_spread(p.grad) is spread] for spread in (False, True)]
    norms = [nn.utils.get_total_norm([p.grad for p in kind]) for kind in kinds if kind]  # type: ignore[misc]
    if norms:
        each = [whole(norm) for norm in norms]
        total = each[0] if len(each) == 1 else torch.stack(each).norm()
        for kind in kinds:
            nn.utils.clip_grads_with_norm_(kind, limit, total)


def _check_names(turns: Sequence[Turn], optimizers: Mapping[str, OptimizerSettings]) -> None:
    names = [turn.name for turn in turns]
    if len(set(names)) < len(names):
        raise ModelError(f"two turns share a name ({', '.join(names)}); each needs one of its own")
    for name in optimizers:
        if name not in names:
            raise UnknownName("turn", name, names, hint="It was given an optimizer.")
    for name in names:
        if name not in optimizers:
            given = ", ".join(optimizers) or "none"
            raise RecipeError(
                f"turn {name!r} has no optimizer (given: {given}); add `optimizers: {{{name}: …}}`"
            )
