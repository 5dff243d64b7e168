"""Teachers for stages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import nn

from tutelage.data import Source, is_steady
from tutelage.data.showing import Transform
from tutelage.engine import Runtime, sharded
from tutelage.errors import NonFiniteLoss
from tutelage.studies import Arm, Stage, Study
from tutelage.studies.views import said
from tutelage.teachers import Ahead, Frozen, Remembered, Teacher
from tutelage.training.arm import Trained, train_arm
from tutelage.training.stage import evaluation_loader

__all__ = ["Classroom", "train_teacher"]


def train_teacher(study: Study, folder: Path, runtime: Runtime) -> list[Trained]:
    """Train the networks that the teacher is made of, or read those that are trained already.

    Raises:
        NonFiniteLoss: a teacher's training broke off, so that there is none.
    """
    taught: list[Trained] = []
    arms = study.teacher.arms if study.teacher is not None else ()
    for number, arm in enumerate(arms):
        label = "teacher" if len(arms) == 1 else f"teacher{number}"
        seed = study.plan.seed + number
        problem = (arm.problem or study.problem).of_teacher
        one = train_arm(arm, problem, runtime, folder / label, seed=seed, teacher=None, label=label)
        if one.failed is not None:
            raise NonFiniteLoss(f"{label}: {one.failed}")
        taught.append(one)
    return taught


class Classroom:
    """Teachers for stages: a fresh one each, or one that remembers where that is right.

    Args:
        study: whose teacher.
        networks: what the plan's arms trained.
        runtime: where it answers.
        ahead: ask one that remembers about everything at the start, in the source's order.
    """

    def __init__(
        self, study: Study, networks: Sequence[nn.Module], runtime: Runtime, *, ahead: bool = True
    ) -> None:
        self.study, self.networks, self.runtime, self.ahead = study, networks, runtime, ahead
        self.seconds = 0.0  # spent in asking ahead
        self._remembered: dict[tuple[int, str], Remembered] = {}

    def finished(self) -> Teacher:
        """The teacher as it is, on its device, reading what is its own."""
        teacher = self.study.plan.finish(self.networks).to(self.runtime.device)
        reads = self.study.problem.reads.get("teacher")
        for member in teacher.modules():
            if isinstance(member, Teacher):
                member.reads = reads
        return teacher

    def teacher(self, arm: Arm, stage: Stage | None) -> Teacher:
        """The teacher of a stage; of what comes after the stages where there is none."""
        plan = self.study.plan
        if arm.teacher is not None:
            return arm.teacher(self.finished(), self.study)
        if stage is not None and stage.declared.asks == "made":
            return self._spread(self.finished())  # about what nobody knows before the step
        steady = stage is not None and is_steady(stage.transform)
        source = arm.source_of(stage) if stage is not None and steady else None
        if not plan.remember or stage is None or source is None:
            ready = self._spread(self.finished())
            return Ahead(ready) if plan.ahead and stage is not None else ready
        return self._remembering(source, stage.transform)

    def _remembering(self, source: Source, transform: Transform | None) -> Remembered:
        key = (id(source), said(transform))
        held = self._remembered.get(key)
        if held is None:
            held = Remembered(self._spread(self.finished()))
            if self.ahead:
                clock = time.perf_counter()
                asked = evaluation_loader(source, transform)
                held.ask_ahead(batch.to(self.runtime.device) for batch in asked)
                self.seconds += time.perf_counter() - clock
            self._remembered[key] = held
        return held

    def _spread(self, teacher: Teacher) -> Teacher:
        """The teacher, those of its networks spread over the processes that asked for it."""
        for member in teacher.modules():
            if isinstance(member, Frozen) and member.sharded:
                member.spread(partial(sharded, runtime=self.runtime))
        return teacher
