"""The walk of an arm's networks through its stages: the one that trains, and the one that forecasts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import nn

from tutelage.compression import Calibration
from tutelage.data import Source
from tutelage.engine import Runtime, sharded, whole
from tutelage.errors import ModelError
from tutelage.studies import Arm, Change, Stage, Together, fresh_network, fresh_networks
from tutelage.tasks.problem import Problem
from tutelage.teachers import Ensemble, Frozen, Teacher
from tutelage.traced import OnnxNetwork
from tutelage.training.calibration import calibration_of
from tutelage.training.changing import Step
from tutelage.training.stage import Ready, plain, set_up_stage

__all__ = ["Asked", "State", "Visitor", "walk"]

Asked = Callable[[Stage | None], Teacher]
"""The teacher of a stage, or that of what comes after the stages where there is none."""


@dataclass
class State:
    """What a walk carries from stage to stage.

    Args:
        networks: the arm's, by name, as the last stage left them.
        done: by network, what changes did to it: their names and plain JSON, in order.
        made: what the last stage made, if it made anything.
    """

    networks: dict[str, nn.Module]
    done: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    made: Source | None = None


class Visitor(Protocol):
    """What is done at each stage of a walk."""

    def finished(self, number: int, state: State) -> bool:
        """Whether a stage is done already; its weights, and what it made, are then in the state."""

    def train(self, ready: Ready) -> Source | None:
        """Train a stage that was set up; what it made."""

    def changed(
        self, number: int, change: Change, network: str, net: nn.Module, calibration: Calibration
    ) -> Step:
        """Change a network; what came of it."""

    def left(self, number: int, state: State) -> None:
        """Called after each stage."""


def walk(
    arm: Arm,
    problem: Problem,
    runtime: Runtime,
    visitor: Visitor,
    *,
    seed: int,
    teacher: Asked | None,
) -> State:
    """Take an arm's networks through its stages.

    Args:
        arm: whose.
        problem: data and exam.
        runtime: where.
        visitor: what to do at each stage.
        seed: of initialisation, data order and dropout.
        teacher: stage -> its teacher; None for an arm without one.
    """
    state = State({name: net.to(runtime.device) for name, net in fresh_networks(arm, seed).items()})
    for number, stage in enumerate(arm.stages):
        if isinstance(stage, Change):
            for name in stage.networks:
                shown = calibration_of(arm, arm.problem or problem, name, runtime)
                step = visitor.changed(number, stage, name, state.networks[name], shown)
                state.networks[name] = step.network.to(runtime.device)
                if "undone" not in step.about:
                    record = {"change": stage.name, "done": dict(step.done), "settles": stage.changer.settles}
                    state.done.setdefault(name, []).append(record)
        else:
            _train(arm, number, stage, state, (problem, runtime, visitor, seed, teacher))
        visitor.left(number, state)
    return state


def _train(
    arm: Arm,
    number: int,
    stage: Stage,
    state: State,
    how: tuple[Problem, Runtime, Visitor, int, Asked | None],
) -> None:
    problem, runtime, visitor, seed, teacher = how
    held = _networks_that_teach(stage, state, problem)
    for name, draw in stage.draws.items():
        state.networks[name] = fresh_network(arm, name, seed, draw).to(runtime.device)
        state.done.pop(name, None)
    if visitor.finished(number, state):
        return
    taught_by = _gathered(stage, held, teacher, seed)
    source = state.made if stage.data == "made" else arm.source_of(stage)
    assert source is not None
    _refuse_files(number, stage, state)
    networks = _spread(stage.cast(state.networks), stage, runtime)
    ready = set_up_stage(
        stage, arm.order_of(number), networks, source, problem, runtime, seed=seed, teacher=taught_by
    )
    state.made = visitor.train(replace(ready, number=number))
    plain(networks)
    for role, trained in networks.items():
        name = stage.named(role)
        if trained is not state.networks[name]:
            state.networks[name].load_state_dict(whole(trained.state_dict()))
            state.networks[name].to(runtime.device)


def _refuse_files(number: int, stage: Stage, state: State) -> None:
    """Refuse to train a network that is a file.

    Raises:
        ModelError: a change before has put one in its place.
    """
    for turn in stage.declared.turn_names:
        name = stage.named(turn)
        if isinstance(state.networks.get(name), OnnxNetwork):
            raise ModelError(
                f"stage {number} trains the {name}, which a change before has put into the form of an "
                "ONNX file: that learns nothing. Let the change be the last stage"
            )


def _networks_that_teach(stage: Stage, state: State, problem: Problem) -> dict[str, Teacher]:
    """Networks of the arm as the stages before left them, as teachers, by how the stage names them."""
    found: dict[str, Teacher] = {}
    for teacher in stage.taught_by:
        if teacher != "plan":
            first = stage.named(stage.declared.students[0].network) if teacher == "before" else teacher
            found[teacher] = Frozen(copy.deepcopy(state.networks[first]))
            found[teacher].reads = problem.reads.get(first)
    return found


def _gathered(stage: Stage, held: Mapping[str, Teacher], ask: Asked | None, seed: int) -> Teacher | None:
    """The teacher of a stage: one, or several together."""
    members = []
    for name in stage.taught_by:
        if name in held:
            members.append(held[name])
        else:
            assert ask is not None
            members.append(ask(stage))
    if not isinstance(stage.teacher, Together):
        return members[0] if members else None
    return Ensemble(members, drop=stage.teacher.drop, temperature=stage.teacher.temperature, seed=seed)


def _spread(networks: Mapping[str, nn.Module], stage: Stage, runtime: Runtime) -> dict[str, nn.Module]:
    """The networks to train: themselves, or copies that are spread over the processes."""
    if not stage.settings.sharded:
        return dict(networks)
    spread = {name: sharded(network, runtime) for name, network in networks.items()}
    for name, network in networks.items():
        if spread[name] is not network:
            network.to("cpu")  # it waits there
    return spread
