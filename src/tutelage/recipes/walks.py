"""Walks in which networks teach one another: who has learnt before it teaches, and who is idle in an arm."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from tutelage.errors import RecipeError
from tutelage.studies import Arm, Change, Stage

__all__ = ["check_teachers", "only_teaching", "walks_alone", "without_idle"]


def check_teachers(arm: Arm) -> Arm:
    """The arm as it came, once each network that teaches has learnt before, and can learn in its own stages.

    Raises:
        RecipeError: one has not, or a change that no training may follow stands before a training.
    """
    _check_final(arm)
    for number, stage in arm.trainings:
        for name in stage.taught_by:
            if name == "plan":
                continue
            network = stage.named(stage.declared.students[0].network) if name == "before" else name
            if not any(before < number for before, _ in arm.learning(network)):
                raise RecipeError(
                    f"stage {number} says `teacher: {name}`, and nothing trains the {network} before it; "
                    "give it the recipe's teacher (leave `teacher` out of the stage), or a training before "
                    f"it (`student: {network}`)"
                )
    return arm


def only_teaching(arm: Arm, measured: Collection[str]) -> set[str]:
    """The networks that learn as students of their own stages and serve nothing but to teach others.

    Args:
        arm: whose networks.
        measured: the names of those that outcomes are about.
    """
    students = {stage.student for _, stage in arm.trainings}
    moved = {turn for _, stage in arm.trainings for turn in stage.declared.turn_names if turn != "student"}
    return students - moved - set(measured)


def walks_alone(stage: Stage | Change, left_out: Collection[str]) -> bool:
    """Whether a stage is part of a walk in which nobody is taught by those that are left out."""
    names = stage.networks if isinstance(stage, Change) else [stage.student]
    return not set(names) <= set(left_out)


def without_idle(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """The arms, each without the networks that learn as students in other arms alone."""
    students = {stage.student for arm in arms.values() for _, stage in arm.trainings} - {"student"}
    return {name: _with_networks(arm, students - _appearing(arm)) for name, arm in arms.items()}


def _appearing(arm: Arm) -> set[str]:
    found = {stage.student for _, stage in arm.trainings}
    found |= {turn for _, stage in arm.trainings for turn in stage.declared.turn_names}
    return found | {name for stage in arm.stages if isinstance(stage, Change) for name in stage.networks}


def _with_networks(arm: Arm, idle: Collection[str]) -> Arm:
    if not idle:
        return arm
    networks = {name: build for name, build in arm.networks.items() if name not in idle}
    return replace(arm, networks=networks)


def _check_final(arm: Arm) -> None:
    """Refuse a training after a change that leaves nothing to learn."""
    final: dict[str, str] = {}
    for number, stage in enumerate(arm.stages):
        if isinstance(stage, Change):
            if stage.changer.final:
                final |= dict.fromkeys(stage.networks, stage.name)
            continue
        for name in stage.draws:
            final.pop(name, None)
        for name in {stage.named(turn) for turn in stage.declared.turn_names} & final.keys():
            raise RecipeError(
                f"stage {number} trains the {name}, and {final[name]} before it puts a file in its place "
                f"that learns nothing; let {final[name]} be the last stage, or train through the rounding: "
                "quantise: {how: aware}"
            )
