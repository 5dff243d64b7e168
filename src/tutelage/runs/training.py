"""Train one arm with one seed: stage by stage, resumable at each step."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tutelage.capture import capture
from tutelage.data import Loader, Views, check_labels, view_of
from tutelage.engine import (
    Fitted,
    Runtime,
    Validation,
    fit,
    load_weights,
    rest,
    save_weights,
    seed_everything,
    seeded,
    sharded,
    whole,
)
from tutelage.errors import ModelError, TutelageWarning
from tutelage.evaluation import predict
from tutelage.match import Match
from tutelage.modes import evaluating
from tutelage.runs.folder import read_json, write_json
from tutelage.runs.study import Arm, Stage
from tutelage.schemes import Scheme
from tutelage.tasks.problem import Problem
from tutelage.teachers import Teacher
from tutelage.types import Outputs

__all__ = [
    "Trained",
    "check_width",
    "evaluation_loader",
    "fresh_network",
    "loader_seed",
    "set_up_stage",
    "stage_loader",
    "train_arm",
    "validation_of",
]

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Trained:
    """One network after its stages.

    Args:
        network: with the weights that were kept.
        steps: updates in all.
        seconds: of training in all.
        validation: the metric by which the last stage's weights were kept, or None.
    """

    network: nn.Module
    steps: int
    seconds: float
    validation: float | None


def train_arm(
    arm: Arm,
    problem: Problem,
    runtime: Runtime,
    folder: Path,
    *,
    seed: int,
    teacher: Callable[[Stage | None], Teacher] | None,
    label: str,
) -> Trained:
    """Train one arm, or take up what is left of it; a finished one is only read.

    Args:
        arm: what to train.
        problem: data and metrics.
        runtime: where.
        folder: its files; `weights.safetensors` and `trained.json` say that it is done.
        seed: of initialisation, data order and dropout.
        teacher: stage -> its teacher, or that for corrections where the stage is None; None for an arm
            without a teacher.
        label: what to call it in progress.
    """
    network = fresh_network(arm, seed).to(runtime.device)
    done = folder / "trained.json"
    if runtime.share(done.exists()):
        load_weights(folder / "weights.safetensors", network)
        return Trained(network, **read_json(done))
    fitted = [
        _train_stage(arm, number, network, problem, runtime, folder, (seed, teacher, label))
        for number in range(len(arm.stages))
    ]
    if arm.correction is not None:
        inputs = evaluation_loader(problem.validation)
        arm.correction(network, teacher(None) if teacher else None, inputs, runtime.device)
    best = fitted[-1].best
    trained = Trained(
        network,
        steps=sum(f.steps for f in fitted),
        seconds=sum(f.seconds for f in fitted),
        validation=best["value"] if best else None,
    )
    if runtime.is_main:
        save_weights(folder / "weights.safetensors", network)
        write_json(done, {name: getattr(trained, name) for name in ("steps", "seconds", "validation")})
    runtime.wait()
    return trained


def fresh_network(arm: Arm, seed: int) -> nn.Module:
    """The arm's network as the seed initialises it."""
    with seeded(seed):
        return arm.network()


def stage_loader(stage: Stage, arm: Arm, runtime: Runtime, seed: int, *, keyed: bool = False) -> Loader:
    """The training batches of a stage; with the keys of stored answers where its teacher reads them."""
    return Loader(
        arm.source,
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


def loader_seed(seed: int, number: int) -> int:
    """The seed of the order and the views of a stage."""
    return seed + 7919 * number


def set_up_stage(
    arm: Arm,
    number: int,
    network: nn.Module,
    problem: Problem,
    runtime: Runtime,
    *,
    seed: int,
    teacher: Callable[[Stage | None], Teacher] | None,
) -> tuple[Scheme, Loader]:
    """A stage's scheme and batches, ready to train: seeded, labels checked, projectors fitted."""
    stage = arm.stages[number]
    seed_everything(seed * 1000 + number)
    taught_by = teacher(stage) if teacher else None
    scheme = stage.scheme(network, taught_by)
    keyed = taught_by is not None and taught_by.keyed
    loader = stage_loader(stage, arm, runtime, loader_seed(seed, number), keyed=keyed)
    shown = Views(arm.source, stage.transform, view_of(loader_seed(seed, number), 0), keyed=keyed)
    first = shown[[[0]]][0].to(runtime.device)
    if problem.num_classes is not None:
        check_labels(arm.source.labels, problem.num_classes, where="the training data")
        with torch.no_grad(), evaluating(network):
            answer = capture(network, first.inputs)
        check_width(answer, problem.num_classes, who=type(network).__name__)
    scheme.prepare(first)
    rest(network)
    _lay_out(network, taught_by, stage)
    _warn_of_parts(scheme, stage, runtime)
    seed_everything(seed * 1000 + number + runtime.rank)
    return scheme, loader


def _lay_out(network: nn.Module, teacher: Teacher | None, stage: Stage) -> None:
    """Compile and lay out as the stage's settings ask."""
    if stage.settings.channels_last:
        for module in (network, teacher):
            if module is not None:
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if stage.settings.compiled:
        network.compile()


def plain(network: nn.Module) -> None:
    """Undo what a stage's settings asked for in how a network is run and laid out."""
    network._compiled_call_impl = None
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _warn_of_parts(scheme: Scheme, stage: Stage, runtime: Runtime) -> None:
    """Say that a batch in parts is not the batch to a loss that compares items with one another."""
    compared = [
        match.name for match in scheme.matches if isinstance(match, Match) and match.loss.compares_items
    ]
    if compared and stage.settings.accumulate * runtime.world > 1:
        said = (
            f"{', '.join(compared)} compares the items of a batch with one another, and here sees them in "
            f"parts (accumulate {stage.settings.accumulate}, processes {runtime.world}): only items of one "
            "part are compared. Use one part, or larger ones"
        )
        warnings.warn(said, TutelageWarning, stacklevel=2)


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


def evaluation_loader(source: object) -> Loader:
    """Batches for measuring, in the source's order."""
    return Loader(source, batch_size=EVALUATION_BATCH, shuffle=False)  # type: ignore[arg-type]


def validation_of(network: nn.Module, problem: Problem, runtime: Runtime) -> Validation:
    """How weights of a network are chosen: by the problem's metric on the validation split."""

    def measure() -> dict[str, float]:
        with evaluating(network):
            answers = predict(
                lambda batch: capture(network, batch.inputs),
                evaluation_loader(problem.validation),
                device=runtime.device,
            )
        return problem.measure(answers)

    return Validation(measure, problem.metric, problem.higher_is_better)


def _train_stage(
    arm: Arm,
    number: int,
    network: nn.Module,
    problem: Problem,
    runtime: Runtime,
    folder: Path,
    how: tuple[int, Callable[[Stage | None], Teacher] | None, str],
) -> Fitted:
    seed, teacher, label = how
    stage = arm.stages[number]
    folder = folder / f"stage{number}"
    done = folder / "fitted.json"
    if runtime.share(done.exists()):
        load_weights(folder / "weights.safetensors", network)
        return Fitted(**read_json(done), history=[])
    trained = sharded(network, runtime) if stage.settings.sharded else network
    if trained is not network:
        network.to("cpu")  # it waits there
    scheme, loader = set_up_stage(arm, number, trained, problem, runtime, seed=seed, teacher=teacher)
    fitted = fit(
        scheme.turns(),
        scheme.modules,
        loader,
        stage.settings,
        optimizers=stage.optimizers,
        runtime=runtime,
        validation=validation_of(trained, problem, runtime),
        folder=folder,
        label=label if len(arm.stages) == 1 else f"{label}, stage {number + 1}",
    )
    plain(trained)
    if trained is not network:
        network.load_state_dict(whole(trained.state_dict()))
        network.to(runtime.device)
    if runtime.is_main:
        save_weights(folder / "weights.safetensors", network)
        write_json(done, {"steps": fitted.steps, "seconds": fitted.seconds, "best": fitted.best})
    runtime.wait()
    return fitted
