"""A stage made ready to train: seeded, labels checked, projectors fitted."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from tutelage.capture import capture
from tutelage.data import Loader, Source, Views, check_labels, reading, view_of
from tutelage.data.showing import Transform
from tutelage.engine import Division, Runtime, Validation, rest, seed_everything
from tutelage.errors import ModelError, TutelageWarning
from tutelage.modes import evaluating
from tutelage.schemes import Scheme
from tutelage.studies import Stage, loader_seed
from tutelage.tasks.problem import Problem
from tutelage.teachers import Teacher
from tutelage.types import Outputs, Timed

__all__ = [
    "Ready",
    "check_width",
    "evaluation_loader",
    "plain",
    "set_up_stage",
    "stage_loader",
    "validations_of",
]

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Ready:
    """A stage, ready to train.

    Args:
        number: of the stage in its arm.
        stage: what was asked for.
        scheme: its turns.
        loader: its batches.
        networks: the arm's, as they are trained.
    """

    number: int
    stage: Stage
    scheme: Scheme
    loader: Loader
    networks: Mapping[str, nn.Module]


def set_up_stage(
    stage: Stage,
    number: int,
    networks: Mapping[str, nn.Module],
    source: Source,
    problem: Problem,
    runtime: Runtime,
    *,
    seed: int,
    teacher: Teacher | None,
) -> Ready:
    """A stage's scheme and batches, ready to train: seeded, labels checked, projectors fitted."""
    seed_everything(seed * 1000 + number)
    scheme = stage.scheme(networks, teacher)
    for learner in scheme.learners:
        learner.reads = problem.reads.get(learner.name)
    keyed = teacher is not None and teacher.keyed
    within = Division(scheme.turns(), runtime).within
    loader = stage_loader(stage, source, within, loader_seed(seed, number), keyed=keyed)
    shown = Views(source, stage.transform, view_of(loader_seed(seed, number), 0), keyed=keyed)
    first = shown[[[0]]][0].to(runtime.device)
    if problem.num_classes is not None:
        check_labels(source.labels, problem.num_classes, where="the training data")
        for learner in scheme.learners:
            with torch.no_grad(), evaluating(learner.network):
                answer = capture(learner.network, reading(first, learner.reads).inputs)
            check_width(answer, problem.num_classes, who=type(learner.network).__name__)
    scheme.prepare(first)
    for network in networks.values():
        rest(network)
    _lay_out([*networks.values(), teacher], stage, networks)
    _warn_of_parts(scheme, stage, within)
    seed_everything(seed * 1000 + number + runtime.rank)
    return Ready(number, stage, scheme, loader, networks)


def stage_loader(stage: Stage, source: Source, runtime: Runtime, seed: int, *, keyed: bool = False) -> Loader:
    """The training batches of a stage; with the keys of stored answers where its teacher reads them."""
    return Loader(
        source,
        batch_size=stage.settings.batch_size,
        seed=seed,
        transform=stage.transform,
        rank=runtime.rank,
        world=runtime.world,
        accumulate=stage.settings.accumulate,
        workers=stage.settings.workers,
        keyed=keyed,
        pinned=runtime.device.type == "cuda",
    )


def plain(networks: Mapping[str, nn.Module]) -> None:
    """Undo what a stage's settings asked for in how networks are run and laid out."""
    for network in networks.values():
        network._compiled_call_impl = None
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def check_width(answer: Outputs, num_classes: int | None, *, who: str) -> None:
    """Refuse a network whose answer has fewer classes than are told apart.

    Args:
        answer: what it says about some batch.
        num_classes: how many classes the teacher or the data have; None where there are none.
        who: what to call the network in messages.
    """
    width = None if answer.logits is None else answer.logits.shape[-1]
    if num_classes is not None and width is not None and width < num_classes:
        raise ModelError(
            f"{who} answers with {width} classes, and {num_classes} are told apart by its teacher or "
            f"its data; all must have the same classes: give it a head of {num_classes}"
        )


def evaluation_loader(source: Source, transform: Transform | None = None) -> Loader:
    """Batches for measuring, in the source's order."""
    return Loader(source, batch_size=EVALUATION_BATCH, shuffle=False, transform=transform)


def _has_arrived(network: nn.Module) -> bool:
    """Whether nothing in a network still changes with the time."""
    return all(module.has_arrived for module in network.modules() if isinstance(module, Timed))


def validations_of(
    stage: Stage,
    networks: Mapping[str, nn.Module],
    modules: Mapping[str, nn.Module],
    problem: Problem,
    runtime: Runtime,
) -> list[Validation]:
    """How the weights of each network that is handed over are chosen: by its own metric on validation.

    Args:
        stage: whose scheme declares what is handed over; of several views of a network the first counts.
        networks: the arm's, by name.
        modules: what the stage trains and stores, by name.
        problem: data and exam.
        runtime: where.
    """
    first = {student.network: student for student in reversed(stage.declared.students)}
    order = [student for student in stage.declared.students if first[student.network] is student]

    def own(name: str) -> list[str]:
        return [key for key in modules if key in (name, f"{name}_matches")]

    def measure(network: nn.Module, name: str) -> dict[str, float]:
        reads = problem.reads.get(name)
        with evaluating(network):
            answers = problem.exam.ask(
                lambda batch: capture(network, reading(batch, reads).inputs, problem.exam.layers),
                evaluation_loader(problem.validation),
                device=runtime.device,
            )
        return problem.exam.measure(answers)

    found = []
    for student in order:
        network = networks[student.network]
        seen = network if student.view is None else student.view(network)
        found.append(
            Validation(
                lambda seen=seen, name=student.network: measure(seen, name),  # type: ignore[misc]
                problem.metric,
                problem.higher_is_better,
                student=student.network,
                modules=own(student.network),
                ready=lambda seen=network: _has_arrived(seen),  # type: ignore[misc]
            )
        )
    return found


def _lay_out(modules: list[nn.Module | None], stage: Stage, networks: Mapping[str, nn.Module]) -> None:
    """Compile and lay out as the stage's settings ask."""
    if stage.settings.channels_last:
        for module in modules:
            if module is not None:
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if stage.settings.compiled:
        for network in networks.values():
            network.compile()


def _warn_of_parts(scheme: Scheme, stage: Stage, runtime: Runtime) -> None:
    """Say that a batch in parts is not the batch to a loss that compares items with one another."""
    compared = [match.name for match in scheme.matches if match.loss.compares_items]
    if compared and stage.settings.accumulate * runtime.world > 1:
        said = (
            f"{', '.join(compared)} compares the items of a batch with one another, and here sees them in "
            f"parts (accumulate {stage.settings.accumulate}, processes {runtime.world}): only items of one "
            "part are compared. Use one part, or larger ones"
        )
        warnings.warn(said, TutelageWarning, stacklevel=2)
