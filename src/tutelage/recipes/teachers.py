"""Teachers, as recipes describe them."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field as Setting
from torch import nn

from tutelage.engine import load_weights, seeded
from tutelage.errors import CheckpointError, DataError, RecipeError, UnknownName
from tutelage.recipes.names import call, find
from tutelage.recipes.parts import (
    Field,
    check_optimizers,
    labels_alone,
    make_network,
    make_scheme,
    make_transform,
)
from tutelage.recipes.spec import NamedField, OptimizerField, Spec, TrainSpec, checked, named
from tutelage.runs import Arm, Stage, TeacherPlan
from tutelage.tasks import vision
from tutelage.teachers import Ensemble, Frozen, Predictor, Teacher

__all__ = ["SPECS", "make_teacher"]


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
        remember: keep its answers to unaugmented examples in memory, and ask it once about each. Its time is
            then charged once, not each epoch; layers are not remembered.
    """

    model: NamedField
    train: TrainSpec | None = None
    optimizers: dict[str, OptimizerField] = Setting(default_factory=dict)
    weights: str | None = None
    scheme: NamedField | None = None
    seed: int = 0
    precision: str | None = None
    compiled: bool = False
    remember: bool = False


class EnsembleSpec(Spec):
    """Several teachers, with fixed weights.

    Args:
        members: each as under `teacher`.
        weights: one number each, or None for equal ones.
        mean: of `probabilities` or of `logits`.
    """

    members: list[NamedField] = Setting(min_length=1)
    weights: list[float] | None = None
    mean: Literal["probabilities", "logits"] = "probabilities"


class PredictorSpec(Spec):
    """Anything with `fit` and `predict_proba`, fitted here on the whole training split.

    Args:
        model: `package.module:Class` and its settings.
        seed: given as `random_state` where the class takes it.
        remember: keep its answers to unaugmented examples in memory, and ask it once about each.
    """

    model: NamedField
    seed: int = 0
    remember: bool = False


SPECS: dict[str, type[Spec]] = {"ensemble": EnsembleSpec, "frozen": FrozenSpec, "predictor": PredictorSpec}
"""What a recipe may say about each kind of teacher."""


@dataclass
class _Parts:
    arms: list[Arm]
    finish: Callable[[Sequence[nn.Module]], Teacher]
    seed: int = 0
    fitted: list[Callable[[], float]] = field(default_factory=list)
    nbytes: Callable[[Teacher], int] | None = None
    remember: bool = False


def make_teacher(teacher: Any, held: Field) -> TeacherPlan:
    """The plan for the teacher that a recipe describes."""
    parts = _parts(teacher, held)
    return TeacherPlan(
        parts.finish,
        arms=parts.arms,
        seed=parts.seed,
        nbytes=parts.nbytes,
        remember=parts.remember,
        seconds=lambda: sum(seconds() for seconds in parts.fitted),
    )


def _parts(came: Any, held: Field) -> _Parts:
    kinds = {"ensemble": _ensemble, "frozen": _frozen, "predictor": _predictor}
    teacher = named(came)
    if teacher.name not in kinds:
        raise UnknownName("teacher", teacher.name, kinds)
    return kinds[teacher.name](teacher.settings, held)


def _frozen(settings: dict[str, Any], held: Field) -> _Parts:
    spec = checked(FrozenSpec, settings, "teacher.frozen")
    build = make_network(spec.model, held)
    wrap = partial(Frozen, precision=spec.precision, compiled=spec.compiled)  # type: ignore[arg-type]
    if spec.weights is not None and not Path(spec.weights).expanduser().is_file():
        raise CheckpointError(f"teacher.frozen.weights: there is no file {spec.weights}")
    if spec.train is None:
        ready = _Once(partial(_with_weights, build, spec.weights, spec.seed))
        return _Parts([], lambda _: wrap(ready()), remember=spec.remember)
    if spec.weights is not None:
        raise RecipeError("teacher.frozen names weights and train; give one of them")
    if "student" not in spec.optimizers:
        raise RecipeError("teacher.frozen has train and no optimizer; give `optimizers: {student: {sgd: …}}`")
    check_optimizers(spec.optimizers)
    stage = Stage(
        scheme=make_scheme(spec.scheme) if spec.scheme else labels_alone(),
        settings=spec.train.engine(),
        optimizers=spec.optimizers,
        transform=make_transform(spec.train.augment, held.problem),
    )
    arm = Arm(build, [stage], held.problem.train, needs_teacher=False)
    return _Parts([arm], lambda networks: wrap(networks[0]), spec.seed, remember=spec.remember)


def _ensemble(settings: dict[str, Any], held: Field) -> _Parts:
    spec = checked(EnsembleSpec, settings, "teacher.ensemble")
    members = [_parts(member, held) for member in spec.members]
    _check_seeds(spec.members, members)

    def finish(networks: Sequence[nn.Module]) -> Teacher:
        rest, teachers = list(networks), []
        for member in members:
            mine, rest = rest[: len(member.arms)], rest[len(member.arms) :]
            teachers.append(member.finish(mine))
        return Ensemble(teachers, weights=spec.weights, mean=spec.mean)

    arms = [arm for member in members for arm in member.arms]
    return _Parts(arms, finish, members[0].seed, [each for m in members for each in m.fitted])


def _predictor(settings: dict[str, Any], held: Field) -> _Parts:
    spec = checked(PredictorSpec, settings, "teacher.predictor")
    fitted = _Fitted(spec, held)
    return _Parts(
        [], lambda _: Predictor(fitted.model()), 0, [lambda: fitted.seconds], fitted.nbytes, spec.remember
    )


def _check_seeds(specs: Sequence[Any], members: Sequence[_Parts]) -> None:
    """Refuse seeds of members that would not be used: they count on from the first one's."""
    trained = 0
    for number, (spec, member) in enumerate(zip(specs, members, strict=True)):
        expected = members[0].seed + trained
        if member.arms and spec.settings.get("seed", expected) != expected:
            raise RecipeError(
                f"teacher.ensemble: member {number} has the seed {member.seed}; trained members count on "
                f"from the first one's seed, so that this one gets {expected}. Leave it out"
            )
        trained += len(member.arms)


class _Fitted:
    """A predictor, fitted when it is first asked for."""

    def __init__(self, spec: PredictorSpec, held: Field) -> None:
        kind = find("predictor", spec.model.name, vision.models)
        options = dict(spec.model.settings)
        self._made = call("predictor", spec.model.name, kind, options)
        if "random_state" in self._made.get_params() and "random_state" not in options:
            self._made.set_params(random_state=spec.seed)
        self._source, self._done, self.seconds = held.problem.train, False, 0.0

    def model(self) -> Any:
        if not self._done:
            batch = self._source.batch(range(len(self._source)))
            if batch.labels is None:
                raise DataError("a predictor is fitted on labels, and the training split has none")
            clock = time.perf_counter()
            self._made.fit(batch.inputs.flatten(1).numpy(), batch.labels.numpy())
            self.seconds, self._done = time.perf_counter() - clock, True
        return self._made

    def nbytes(self, teacher: Teacher) -> int:  # noqa: ARG002
        """The size of its pickle, which is how scikit-learn keeps it; nothing is read from one here."""
        return len(pickle.dumps(self.model()))


class _Once:
    """A function that is called once."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        self._make = make
        self._held: nn.Module | None = None

    def __call__(self) -> nn.Module:
        if self._held is None:
            self._held = self._make()
        return self._held


def _with_weights(build: Callable[[], nn.Module], weights: str | None, seed: int) -> nn.Module:
    with seeded(seed):
        network = build()
    if weights is not None:
        load_weights(Path(weights).expanduser(), network)
    return network
