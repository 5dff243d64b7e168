"""What is settled before the first answer: the teacher, the form, and what it costs in error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tutelage.answers import Candidate, Place, candidates, choose
from tutelage.engine import Runtime
from tutelage.errors import ModelError, OutputError, RecipeError
from tutelage.files import read_json, write_json
from tutelage.labelling.answering import answer, logits_of, rows_of, sample
from tutelage.labelling.labelling import Labelling
from tutelage.labelling.requirements import Wanted, forms_for, wanted
from tutelage.labelling.settings import LabelSettings
from tutelage.locks import owned
from tutelage.studies import Study
from tutelage.studies.stored import TEACHER_MARK
from tutelage.studies.views import shown
from tutelage.teachers import Stored, Teacher
from tutelage.training import Classroom, train_teacher
from tutelage.trust import refuse_links

__all__ = ["SAMPLE", "Stated", "prepare", "refuse_run", "teacher_for", "working_at"]

KEY_BYTES = 17
"""What an example takes beside its answer: its key, and whether it was answered."""

OFFSET_BYTES = 8
"""What it takes to say where an example's rows begin, or the entries of a row."""

FILE_BYTES = 600
"""What a file takes beside its columns, about."""

SAMPLE = 2048
"""Rows of logits by which a form is judged."""


@dataclass(frozen=True)
class Stated:
    """What is known before the first answer.

    Args:
        labelling: the work.
        candidate: the form, its size and the error to expect.
        others: the forms that were looked at, where one was to be chosen.
        wanted: what the recipe's losses read.
        train_seconds: of the teacher's own training.
    """

    labelling: Labelling
    candidate: Candidate
    others: Sequence[Candidate]
    wanted: Wanted
    train_seconds: float


def prepare(study: Study, out: str | Path, settings: LabelSettings, runtime: Runtime) -> Stated:
    """Train the teacher or read it, choose a form, and say what it will cost.

    Raises:
        RecipeError: a form that the recipe's losses cannot read, or none that fits the budget; where keys
            alone do not fit, before a teacher is trained.
        AnswersError: other answers lie there already.
        ModelError: a teacher whose answers cannot be stored.
    """
    place = Place(out)
    refuse_run(place)
    _check_asked(study)
    _check_budget(study, settings)
    teacher, seconds = teacher_for(study, place, runtime)
    _check_teacher(teacher)
    asked = wanted(study, teacher, runtime.device)
    layers = list(dict.fromkeys([*asked.layers, *settings.layers]))
    found, rows = _candidates(study, teacher, asked, layers, settings, runtime)
    batch = next(stage for _, stage in study.first.trainings).settings.batch_size
    chosen = choose(found, settings.budget or float("inf"), batch=max(1, int(batch * rows)))
    features = dict.fromkeys(layers, getattr(torch, settings.feature_dtype))
    labelling = Labelling(
        study,
        teacher,
        place,
        form=chosen.form,
        features=features,
        rows=rows,
        runtime=runtime,
        settings=settings,
    )
    if runtime.is_main:
        labelling.promise().begin(place)
    runtime.wait()
    return Stated(labelling, chosen, found, asked, seconds)


def refuse_run(place: Place) -> None:
    """Refuse to put answers or text into the folder of a run, whose teacher would be taken for theirs.

    Raises:
        OutputError: a run lies there; or a link in the folder leads out of it.
    """
    if place.local is None or not place.local.is_dir():
        return
    for mark in ("run.json", "tune.json"):
        if (place.local / mark).exists():
            raise OutputError(
                f"{place.local} holds a run ({mark}), and its teacher is not to be taken for another; choose "
                "another folder (out, --out)"
            )
    refuse_links(place.local)


def working_at(place: Place, runtime: Runtime, *, doing: str) -> AbstractContextManager[None]:
    """Hold the folder that answers go to, as the first of the processes that share the work.

    Raises:
        OutputError: others work there.
    """
    if place.local is None or not runtime.is_main:
        return nullcontext()
    return owned(place.local, doing=doing)


def teacher_for(study: Study, place: Place, runtime: Runtime) -> tuple[Teacher, float]:
    """The teacher, trained beside the answers or ready, and the seconds of its training."""
    folder = place.local or Path("runs") / f"{study.name.replace('/', '-')}-teacher"
    _check_same_teacher(folder / TEACHER_MARK, study, runtime)
    taught = train_teacher(study, folder, runtime)
    teacher = Classroom(study, [one.network for one in taught], runtime).finished()
    return teacher, sum(one.seconds_until() for one in taught) + study.plan.seconds()


def _check_asked(study: Study) -> None:
    """Refuse a recipe whose teacher is asked about nothing that can be labelled beforehand.

    Raises:
        RecipeError: nobody is asked, or about what a scheme makes while it trains.
    """
    if not study.asks:
        raise RecipeError(f"{study.name} asks no teacher, so there is nothing to label")
    stages = [stage for arm in study.arms.values() for _, stage in arm.trainings if arm.teacher is None]
    if any(stage.declared.asks == "made" for stage in stages) or not any(
        arm.asking for arm in study.arms.values()
    ):
        raise RecipeError(
            f"{study.name} asks its teacher about what it makes while it trains, which nobody knows "
            "beforehand; its answers cannot be stored: run it with the teacher as it is"
        )


def _check_budget(study: Study, settings: LabelSettings) -> None:
    """Refuse what no form can keep to, before a teacher is trained for it."""
    if settings.budget is None:
        return
    parts = shown(study)
    examples = sum(len(part.source) for part in parts)
    least = examples * KEY_BYTES + len(parts) * FILE_BYTES
    if least > settings.budget:
        raise RecipeError(
            f"the names of {examples:,} examples alone take {least:,} bytes, and the budget is "
            f"{settings.budget:,.0f}: give a larger --budget, fewer views, or fewer examples"
        )


def _candidates(
    study: Study,
    teacher: Teacher,
    asked: Wanted,
    layers: list[str],
    settings: LabelSettings,
    runtime: Runtime,
) -> tuple[list[Candidate], float]:
    """The forms to choose from, and how many rows of logits an example has on average."""
    forms = forms_for(settings, asked)
    logits, rows = _sampled(study, teacher, runtime)
    parts = shown(study)
    examples = sum(len(part.source) for part in parts)
    found = candidates(
        logits[::2],
        rows=int(rows * examples),
        temperatures=asked.temperatures,
        forms=forms,
        beside=len(parts) * FILE_BYTES
        + examples * (KEY_BYTES + OFFSET_BYTES * (rows > 1))
        + examples * _feature_bytes(study, teacher, layers, runtime, settings),
        reach=examples * OFFSET_BYTES,
        compressed=settings.compressed,
    )
    return found, rows


def _check_same_teacher(mark: Path, study: Study, runtime: Runtime) -> None:
    """Refuse to go on with a teacher that another recipe, or other data, had trained there."""
    ours = json.loads(
        json.dumps({name: study.resolved.get(name) for name in ("teacher", "task")}, default=str)
    )
    if runtime.is_main and study.plan.arms:
        if not mark.exists():
            write_json(mark, ours)
        elif read_json(mark) != ours:
            raise OutputError(
                f"{mark.parent} holds a teacher of another recipe or of other data; choose another folder "
                "(--out), or delete that one"
            )
    runtime.wait()


def _feature_bytes(
    study: Study, teacher: Teacher, layers: list[str], runtime: Runtime, settings: LabelSettings
) -> float:
    """What the kept layers of an example take."""
    if not layers:
        return 0.0
    teacher.watch(layers)
    batch = next(sample(shown(study), rows=1))
    features = answer(teacher, batch, runtime.device).features
    each = getattr(torch, settings.feature_dtype).itemsize
    return float(sum(features[layer].numel() for layer in layers) * each / len(batch))


def _check_teacher(teacher: Teacher) -> None:
    if teacher.moves or teacher.heeds or teacher.reads_labels:
        raise ModelError(
            f"{type(teacher).__name__} answers by the student or by the labels, and not by the example "
            "alone; its answers are not stored: train with it as it is"
        )
    if isinstance(teacher, Stored):
        raise ModelError("the recipe's teacher is stored already; give the teacher that answered")


def _sampled(study: Study, teacher: Teacher, runtime: Runtime) -> tuple[Tensor, float]:
    """Some of a teacher's logits, and how many rows an example has on average."""
    batches = list(sample(shown(study), rows=SAMPLE))
    found = [rows_of(logits_of(answer(teacher, batch, runtime.device)), batch) for batch in batches]
    logits = torch.cat(found)
    return logits, len(logits) / sum(map(len, batches))
