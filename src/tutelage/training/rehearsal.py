"""A walk through all stages without training: what does not fit is refused before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from tutelage.data import Source
from tutelage.engine import Runtime
from tutelage.studies import Change, Study
from tutelage.training.classroom import Classroom
from tutelage.training.stage import Ready
from tutelage.training.walk import State, walk

__all__ = ["rehearse"]


def rehearse(study: Study, networks: list[nn.Module], runtime: Runtime) -> None:
    """Set every stage of every arm up, with the teacher as it is, and show each one example.

    Args:
        study: what is about to be trained.
        networks: what the teacher's arms trained.
        runtime: where.

    Raises:
        TutelageError: networks, terms or data that do not fit each other.
    """
    classroom = Classroom(study, networks, runtime, ahead=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are said where the stage trains
        for arm in study.arms.values():
            if arm.like is None:
                asked = partial(classroom.teacher, arm) if arm.needs_teacher else None
                visitor = _Rehearsal()
                walk(arm, study.problem, runtime, visitor, seed=study.seeds[0], teacher=asked)


class _Rehearsal:
    """What is done at each stage of a walk that trains nothing."""

    def finished(self, number: int, state: State) -> bool:  # noqa: ARG002
        """Nothing is done beforehand."""
        return False

    def train(self, ready: Ready) -> Source | None:
        """Look at the turns' names; the rest was looked at when the stage was set up."""
        ready.scheme.turns()
        return ready.scheme.made()

    def changed(self, number: int, change: Change, network: str, net: nn.Module) -> Mapping[str, Any]:  # noqa: ARG002
        """Change the network, as a run does."""
        return change.changer.change(net)

    def left(self, number: int, state: State) -> None:
        """Nothing is kept."""
