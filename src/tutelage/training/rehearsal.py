"""A walk through all stages in two small steps: what does not fit is refused before anything is trained."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from tutelage.data import Loader, Source, Subset
from tutelage.engine import OptimizerSteps, Runtime, fit
from tutelage.errors import ModelError
from tutelage.studies import Arm, Study
from tutelage.tasks.problem import Problem
from tutelage.training.changing import Unjudged
from tutelage.training.classroom import Classroom
from tutelage.training.stage import Ready, evaluation_loader, validations_of
from tutelage.training.walk import State, walk

__all__ = ["rehearse"]

_STEPS = 2
_EXAMPLES = 8  # of a step: two would do, and losses that compare items or count classes want some
_VALIDATED = 64


def rehearse(study: Study, runtime: Runtime) -> None:
    """Take every arm, the teacher's own too, through two small steps of each stage, measure it and drop it.

    Each goes through optimiser, schedule, teacher, terms, backward, metric and correction, on networks of its
    own and a few examples; what it would warn of is said where the training does it.

    Args:
        study: what is about to be trained.
        runtime: where.

    Raises:
        TutelageError: networks, terms, settings or data that do not fit each other.
    """
    quiet, problem = runtime.unheard(), _small(study.problem)
    taught: list[nn.Module] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, arm in enumerate(study.teacher.arms if study.teacher is not None else ()):
            own = _small((arm.problem or study.problem).of_teacher)
            state = walk(arm, own, quiet, _Rehearsal(own, quiet), seed=study.plan.seed + number, teacher=None)
            taught.append(next(iter(state.networks.values())))
        classroom = Classroom(study, taught, quiet, ahead=False)
        for arm in study.arms.values():
            if arm.like is None:
                _rehearse_arm(arm, problem, quiet, classroom, study.seeds[0])


def _rehearse_arm(arm: Arm, problem: Problem, runtime: Runtime, classroom: Classroom, seed: int) -> None:
    asked = partial(classroom.teacher, arm) if arm.needs_teacher else None
    state = walk(arm, problem, runtime, _Rehearsal(problem, runtime), seed=seed, teacher=asked)
    if arm.correction is not None:
        first = next(iter(state.networks.values()))
        inputs = evaluation_loader(problem.validation)
        arm.correction(first, asked(None) if asked else None, inputs, runtime.device)


def _small(problem: Problem) -> Problem:
    """The same problem with a few examples to validate on, spread over all."""
    source = problem.validation
    step = max(1, len(source) // _VALIDATED)
    few = Subset(source, list(range(0, len(source), step))[:_VALIDATED], where="the validation data")
    return replace(problem, validation=few)


class _Rehearsal(Unjudged):
    """What is done at each stage of a walk that trains nothing worth keeping."""

    def finished(self, number: int, state: State) -> bool:  # noqa: ARG002
        """Nothing is done beforehand."""
        return False

    def train(self, ready: Ready) -> Source | None:
        """Make two steps with the first examples, and measure; what is computed otherwise is not tried."""
        _check_states(ready.networks)
        turns, settings, batches = ready.scheme.turns(), ready.stage.settings, ready.loader
        OptimizerSteps(
            turns,
            ready.stage.optimizers,
            total_steps=settings.total_steps(len(batches)),
            clip=settings.clip,
            per_epoch=len(batches),
            epochs=settings.epochs,
        )
        if not settings.sharded and not settings.compiled:
            plain = {"epochs": None, "steps": _STEPS, "patience": None, "validate_every": 1}
            fit(
                turns,
                ready.scheme.modules,
                _short(ready.loader),
                settings.model_copy(update=plain),
                optimizers=ready.stage.optimizers,
                runtime=self.runtime,
                validation=validations_of(
                    ready.stage, ready.networks, ready.scheme.modules, self.problem, self.runtime
                ),
            )
        return ready.scheme.made()

    def left(self, number: int, state: State) -> None:
        """Nothing is kept."""


def _check_states(networks: Mapping[str, nn.Module]) -> None:
    """Refuse what a file of weights cannot hold."""
    for name, network in networks.items():
        for key, held in network.state_dict().items():
            if not isinstance(held, Tensor):
                raise ModelError(
                    f"the {name}'s state has {key}, a {type(held).__name__}; weights are kept as "
                    "safetensors, which holds tensors: keep it as a buffer, or leave the extra state out"
                )


def _short(loader: Loader) -> Loader:
    """The same loader with few examples in each micro-batch."""
    found = copy.copy(loader)
    found.workers = 0
    found.batch_size = min(loader.batch_size, _EXAMPLES * loader.world * loader.accumulate)
    return found
