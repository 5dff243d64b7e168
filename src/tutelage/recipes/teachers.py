"""Teachers, as recipes describe them."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field as Setting
from torch import nn

from tutelage.engine import load_weights, seeded
from tutelage.errors import CheckpointError, DataError, RecipeError, TutelageError, UnknownName
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
from tutelage.runs.training import evaluation_loader
from tutelage.tasks import vision
from tutelage.teachers import (
    Cautious,
    Committee,
    Ensemble,
    Frozen,
    MovingAverage,
    Panel,
    PastSelf,
    Predictor,
    Stored,
    Teacher,
    Virtual,
    learn_weights,
)

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
        sharded: spread it over the processes of a run (FSDP2).
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
    sharded: bool = False
    remember: bool = False


class MembersSpec(Spec):
    """Several teachers.

    Args:
        members: each as under `teacher`.
    """

    members: list[NamedField] = Setting(min_length=1)


class EnsembleSpec(MembersSpec):
    """Several teachers, with the same weights for all examples.

    Args:
        weights: one number each; None for equal ones; `learned` for those under which the labels of the
            validation split are most likely.
        mean: of `probabilities` or of `logits`.
    """

    weights: list[float] | Literal["learned"] | None = None
    mean: Literal["probabilities", "logits"] = "probabilities"


class PanelSpec(MembersSpec):
    """Several teachers, weighted anew for each example; see `tutelage.teachers.Panel`."""

    by: str = "confidence"
    sharpness: float = 1.0


class CommitteeSpec(MembersSpec):
    """Several teachers, weighted by what the student lacks; see `tutelage.teachers.Committee`."""

    softness: float = 0.5


class CautiousSpec(Spec):
    """A teacher whose answers are refused below a confidence; see `tutelage.teachers.Cautious`.

    Args:
        teacher: as under `teacher`.
        least: the lowest probability of the first choice.
    """

    teacher: NamedField
    least: float = 0.5


class MovingAverageSpec(Spec):
    """The average of the student's own weights; see `tutelage.teachers.MovingAverage`."""

    decay: float = 0.999


class VirtualSpec(Spec):
    """A teacher that nobody trained: almost sure of the label; see `tutelage.teachers.Virtual`."""

    correct: float = 0.9


class PastSelfSpec(Spec):
    """The student as it was an epoch ago; see `tutelage.teachers.PastSelf`."""

    every: int = 1


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


class StoredSpec(Spec):
    """A teacher that answered before; see `tutelage.teachers.Stored`.

    Args:
        answers: the folder that `tutelage label` has filled, or its URL.
    """

    answers: str


SPECS: dict[str, type[Spec]] = {
    "cautious": CautiousSpec,
    "committee": CommitteeSpec,
    "ensemble": EnsembleSpec,
    "frozen": FrozenSpec,
    "moving_average": MovingAverageSpec,
    "panel": PanelSpec,
    "past_self": PastSelfSpec,
    "predictor": PredictorSpec,
    "stored": StoredSpec,
    "virtual": VirtualSpec,
}
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
    teacher = named(came)
    if teacher.name not in SPECS:
        raise UnknownName("teacher", teacher.name, SPECS)
    spec = checked(SPECS[teacher.name], teacher.settings, f"teacher.{teacher.name}")
    make: Callable[[Any, Field], _Parts] = _MAKERS[type(spec)]
    return make(spec, held)


def _frozen(spec: FrozenSpec, held: Field) -> _Parts:
    build = make_network(spec.model, held)
    wrap = partial(Frozen, precision=spec.precision, compiled=spec.compiled, sharded=spec.sharded)  # type: ignore[arg-type]
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


def _ensemble(spec: EnsembleSpec, held: Field) -> _Parts:
    learned: list[list[float]] = []

    def gather(teachers: Sequence[Teacher]) -> Teacher:
        weights = spec.weights
        if weights == "learned":
            if not learned:
                learned.append(learn_weights(teachers, evaluation_loader(held.problem.validation)))
            kept = [number for number, weight in enumerate(learned[0]) if weight > 0]
            teachers, weights = [teachers[n] for n in kept], [learned[0][n] for n in kept]
        return Ensemble(teachers, weights=weights, mean=spec.mean)

    return _members(spec, held, gather)


def _panel(spec: PanelSpec, held: Field) -> _Parts:
    settings = {"by": spec.by, "sharpness": spec.sharpness}
    return _members(spec, held, lambda teachers: _built(Panel, teachers, settings=settings))


def _committee(spec: CommitteeSpec, held: Field) -> _Parts:
    return _members(
        spec, held, lambda teachers: _built(Committee, teachers, settings={"softness": spec.softness})
    )


def _cautious(spec: CautiousSpec, held: Field) -> _Parts:
    parts = _parts(spec.teacher, held)
    settings = {"least": spec.least}
    finish = parts.finish
    return replace(
        parts, finish=lambda networks: _built(Cautious, finish(networks), settings=settings), remember=False
    )


def _moving_average(spec: MovingAverageSpec, held: Field) -> _Parts:  # noqa: ARG001
    made = _built(MovingAverage, settings={"decay": spec.decay})
    return _Parts([], lambda _: made)


def _virtual(spec: VirtualSpec, held: Field) -> _Parts:
    classes = held.problem.num_classes
    if classes is None:
        raise RecipeError("teacher.virtual answers with classes, and this task has none; name another")
    made = _built(Virtual, settings={"num_classes": classes, "correct": spec.correct})
    return _Parts([], lambda _: made)


def _past_self(spec: PastSelfSpec, held: Field) -> _Parts:  # noqa: ARG001
    made = _built(PastSelf, settings={"every": spec.every})
    return _Parts([], lambda _: made)


def _stored(spec: StoredSpec, held: Field) -> _Parts:  # noqa: ARG001
    made = Stored(Path(spec.answers).expanduser() if "://" not in spec.answers else spec.answers)
    about = made.answers.about
    seconds = about.get("teacher", {}).get("train_seconds", 0.0) + about.get("label_seconds", 0.0)
    return _Parts([], lambda _: made, fitted=[lambda: seconds])


def _members(spec: MembersSpec, held: Field, gather: Callable[[Sequence[Teacher]], Teacher]) -> _Parts:
    """The parts of all members, one after the other, and what they are gathered into."""
    members = [_parts(member, held) for member in spec.members]
    _check_seeds(spec.members, members)

    def finish(networks: Sequence[nn.Module]) -> Teacher:
        rest, teachers = list(networks), []
        for member in members:
            mine, rest = rest[: len(member.arms)], rest[len(member.arms) :]
            teachers.append(member.finish(mine))
        return gather(teachers)

    arms = [arm for member in members for arm in member.arms]
    return _Parts(arms, finish, members[0].seed, [each for m in members for each in m.fitted])


def _built(kind: Callable[..., Teacher], *given: Any, settings: Mapping[str, Any]) -> Teacher:
    """A teacher; what it refuses is said in the words of a recipe."""
    try:
        return kind(*given, **settings)
    except TutelageError:
        raise
    except ValueError as error:
        raise RecipeError(f"teacher {kind.__name__} refused {dict(settings)}: {error}") from error


def _predictor(spec: PredictorSpec, held: Field) -> _Parts:
    fitted = _Fitted(spec, held)
    return _Parts(
        [], lambda _: Predictor(fitted.model()), 0, [lambda: fitted.seconds], fitted.nbytes, spec.remember
    )


_MAKERS: dict[type[Spec], Callable[[Any, Field], _Parts]] = {
    CautiousSpec: _cautious,
    CommitteeSpec: _committee,
    EnsembleSpec: _ensemble,
    FrozenSpec: _frozen,
    MovingAverageSpec: _moving_average,
    PanelSpec: _panel,
    PastSelfSpec: _past_self,
    PredictorSpec: _predictor,
    StoredSpec: _stored,
    VirtualSpec: _virtual,
}


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
