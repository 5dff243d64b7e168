"""Twenty steps in float64 on a task's own batches; `python tests/golden/tasks/steps.py` writes them anew.

A changed trajectory means changed mathematics, or other data: the commit that rewrites one says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tutelage.data import Loader, Source
from tutelage.engine import OptimizerSettings, Runtime, TrainSettings, fit
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.schemes import Alone, Offline, Scheme
from tutelage.tasks import detection, paired, vision
from tutelage.tasks.detection.losses import CellBox, CellLabel, SoftBox, SoftCell
from tutelage.tasks.problem import Problem
from tutelage.teachers import Frozen, Heads, Union
from tutelage.types import Batch, map_tensors

FOLDER = Path(__file__).parent
STEPS = 20


class Doubled(Source):
    """Another source, its inputs in float64."""

    def __init__(self, source: Source) -> None:
        self.source, self.draws = source, source.draws

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, numbers: Any) -> Batch:
        batch = self.source.batch(numbers)
        return replace(batch, inputs=map_tensors(batch.inputs, torch.Tensor.double))


def known(network: nn.Module, seed: int, span: float = 0.3) -> nn.Module:
    """The network in float64, with weights that depend on NumPy's frozen generator alone."""
    own = np.random.RandomState(seed)
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.copy_(torch.from_numpy(own.uniform(-span, span, tuple(parameter.shape))))
    return network


def trajectory(scheme: Scheme, problem: Problem) -> dict[str, Any]:
    """The terms of each step, and a fingerprint of the weights after them."""
    for learner in scheme.learners:
        learner.reads = problem.reads.get(learner.name)
    source = Doubled(problem.train)
    scheme.prepare(source.batch([0, 1]))
    sgd = OptimizerSettings(name="sgd", options={"lr": 0.05, "momentum": 0.9})
    fitted = fit(
        scheme.turns(),
        scheme.modules,
        Loader(source, batch_size=16, seed=4),
        TrainSettings(steps=STEPS, batch_size=16, log_every=1, checkpoint_every=0),
        optimizers={turn.name: sgd for turn in scheme.turns()},
        runtime=Runtime(cpu=True, quiet=True),
        folder=None,
    )
    weights = {
        f"{name}.{key}": float(value.abs().sum())
        for name, module in scheme.modules.items()
        for key, value in module.state_dict().items()
    }
    return {"terms": [record["terms"] for record in fitted.history], "weights": weights}


def paired_classification() -> dict[str, Any]:
    """Soft targets and a hint from the image to its projections."""
    problem = paired.classification(
        data="sklearn.digits",
        projections="image",
        reads={"teacher": ["image"], "student": ["projections"]},
        validation=0.2,
        test=0.3,
    )
    teacher = Frozen(known(paired.models.mlp(num_classes=10, in_features=64, widths=[12]), 1))
    teacher.reads = problem.reads["teacher"]
    student = known(paired.models.mlp(num_classes=10, in_features=16, widths=[12]), 2)
    matches = [
        Match(response.SoftTarget(temperature=2.0)),
        Match(feature.Hint(), guided="hidden.0", weight=0.5),
        Match(response.HardLabel(), weight=0.1),
    ]
    return trajectory(Offline(student, teacher, matches), problem)


def _detectors() -> tuple[Problem, nn.Module, nn.Module]:
    problem = detection.boxes(data="sklearn.digits", scenes=80, validation=0.2, test=0.3)
    build = detection.models.grid_detector
    student, teacher = (
        build(num_classes=10, in_channels=1, widths=[width, width, width]) for width in (4, 6)
    )
    return problem, known(student, 3, 0.5), known(teacher, 4, 0.5)


def detection_boxes() -> dict[str, Any]:
    """Soft targets over cells, in both ways, soft boxes, and labels that are a tree."""
    problem, student, teacher = _detectors()
    matches = [
        Match(response.SoftTarget(temperature=2.0)),
        Match(SoftCell(), weight=2.0),
        Match(SoftBox(), guided=[":output.boxes", ":output.logits"]),
        Match(CellLabel()),
        Match(CellBox(), guided=":output.boxes"),
    ]
    return trajectory(Offline(student, Frozen(teacher), matches), problem)


def detection_boxes_alone() -> dict[str, Any]:
    """Labels alone, by what the task's exam says."""
    problem, student, _ = _detectors()
    return trajectory(Alone(student, problem.exam.alone()), problem)


def vision_two_tasks() -> dict[str, Any]:
    """Soft targets of a head each from two teachers, and labels of both, which are a tree."""
    problem = vision.two_tasks(data="sklearn.digits", bins=3, validation=0.2, test=0.3)
    build = vision.models.mlp
    teachers = {
        name: Frozen(known(build(num_classes=count, in_features=64, widths=[12]), seed))
        for seed, (name, count) in enumerate({"digit": 10, "stroke": 3}.items(), 5)
    }
    student = vision.models.mlp_with_heads(heads=problem.exam.heads, in_features=64, widths=[12])
    soft = [
        Match(response.SoftTarget(temperature=2.0), guided=f":output.{name}", hint=f":output.{name}")
        for name in teachers
    ]
    return trajectory(Offline(known(student, 7), Heads(teachers), [*soft, *problem.exam.alone()]), problem)


def vision_union() -> dict[str, Any]:
    """Soft targets of three teachers of some digits each, unified."""
    problem = vision.classification(data="sklearn.digits", validation=0.2, test=0.3)
    classes = [[0, 1, 2, 3, 4], [9, 8, 7, 6, 5], [3, 4, 5, 6]]
    teachers = [
        Frozen(known(vision.models.mlp(num_classes=len(held), in_features=64, widths=[12]), seed))
        for seed, held in enumerate(classes, 8)
    ]
    student = known(vision.models.mlp(num_classes=10, in_features=64, widths=[12]), 11)
    teacher = Union(teachers, classes, temperature=2.0)
    return trajectory(Offline(student, teacher, [Match(response.SoftTarget(temperature=2.0))]), problem)


FACTORIES: Mapping[str, Callable[[], dict[str, Any]]] = {
    each.__name__: each
    for each in (
        paired_classification,
        detection_boxes,
        detection_boxes_alone,
        vision_two_tasks,
        vision_union,
    )
}


def held(name: str) -> dict[str, Any]:
    """What a trajectory was."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


if __name__ == "__main__":
    for name, make in FACTORIES.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(make(), indent=1) + "\n")
