"""A network that is trained here, read from a file, or comes with weights of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from pydantic import Field as Setting
from torch import nn

from tutelage.engine import load_weights, seeded
from tutelage.errors import CheckpointError, RecipeError
from tutelage.recipes.form import NamedField, Spec
from tutelage.recipes.parts import Field, make_network
from tutelage.recipes.schemes import alone_stage
from tutelage.recipes.stage_spec import OptimizerField, TrainSpec
from tutelage.studies import Arm, Stage, TeacherPlan
from tutelage.studies.control import labelled_part
from tutelage.teachers import Frozen

__all__ = ["FrozenSpec", "plan_frozen"]


class FrozenSpec(Spec):
    """A network, trained here or read from a file.

    Args:
        model: its architecture.
        train, optimizers: how it is trained on the whole training split; or
        weights: a safetensors file; or neither, for a model that comes with its own.
        scheme: who teaches it; labels by default.
        seed: of its training.
        precision: `bfloat16` answers faster where the processor can.
        compiled: run it through torch.compile.
        sharded: spread it over the processes of a run (FSDP2).
        remember: keep its answers to unaugmented examples in memory, and ask it once about each. Its time is
            then charged once, not each epoch; layers are not remembered.
        ahead: answer the next step's batch while the student learns from this one, on a thread, or on an
            accelerator's second stream.
    """

    model: NamedField
    train: TrainSpec | None = None
    optimizers: dict[str, OptimizerField] = Setting(default_factory=dict)
    weights: str | None = None
    scheme: NamedField | None = None
    seed: int = 0
    precision: str | None = None
    compiled: bool = False
    sharded: bool = False
    remember: bool = False
    ahead: bool = False


def plan_frozen(spec: FrozenSpec, held: Field) -> TeacherPlan:
    """Train the network, or take it as it is."""
    build = make_network(spec.model, held)
    wrap = partial(Frozen, precision=spec.precision, compiled=spec.compiled, sharded=spec.sharded)  # type: ignore[arg-type]
    if spec.weights is not None and not Path(spec.weights).expanduser().is_file():
        raise CheckpointError(f"teacher.frozen.weights: there is no file {spec.weights}")
    if spec.ahead and spec.sharded:
        raise RecipeError(
            "teacher.frozen is both sharded and ahead, and a sharded one exchanges its weights with other "
            "processes while the student does; give one of them"
        )
    if spec.train is None:
        if spec.optimizers and spec.weights is None:
            raise RecipeError(
                "teacher.frozen has optimizers and no train, so that nobody would train it; give `train`, or "
                "`weights` that are trained"
            )
        ready = cache(partial(_with_weights, build, spec.weights, spec.seed))
        return TeacherPlan(lambda _: wrap(ready()), remember=spec.remember, ahead=spec.ahead)
    built_by = {"student": {spec.model.name: spec.model.settings}}
    seen = labelled_part(held.problem.train)
    arm = Arm({"student": build}, [_stage(spec, spec.train, held)], seen, built_by=built_by)
    return TeacherPlan(
        lambda networks: wrap(networks[0]),
        arms=[arm],
        seed=spec.seed,
        remember=spec.remember,
        ahead=spec.ahead,
    )


def _stage(spec: FrozenSpec, train: TrainSpec, held: Field) -> Stage:
    """How the network is trained."""
    if spec.weights is not None:
        raise RecipeError(
            "teacher.frozen names weights and train; give one of them. To take the weights: --set "
            "teacher.frozen.train=null"
        )
    if "student" not in spec.optimizers:
        raise RecipeError("teacher.frozen has train and no optimizer; give `optimizers: {student: {sgd: …}}`")
    return alone_stage(train, spec.optimizers, held, spec.scheme)


def _with_weights(build: Callable[[], nn.Module], weights: str | None, seed: int) -> nn.Module:
    with seeded(seed):
        network = build()
    if weights is not None:
        load_weights(Path(weights).expanduser(), network)
    return network
