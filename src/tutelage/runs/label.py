"""From a study to a folder of its teacher's answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.answers import (
    Answers,
    Candidate,
    Form,
    FormError,
    Manifest,
    Place,
    candidates,
    choose,
    error_of,
    form_of,
    redrawn,
    spread_log_probs,
)
from tutelage.answers.store import ABOUT
from tutelage.engine import Runtime
from tutelage.errors import ModelError, OutputError, RecipeError, UnknownName
from tutelage.runs.environment import versions
from tutelage.runs.folder import read_json, write_json
from tutelage.runs.labelling import (
    Labelling,
    Wanted,
    answer,
    logits_of,
    rows_of,
    sample,
    shown,
    wanted,
)
from tutelage.runs.measuring import cost_of_teacher, measure_teacher
from tutelage.runs.run import train_teacher
from tutelage.runs.study import Study
from tutelage.teachers import Stored, Teacher

__all__ = ["LabelSettings", "Stated", "finish", "prepare"]

KEY_BYTES = 25
"""What an example takes beside its answer: its key, where its rows begin, whether it was answered."""

SAMPLE = 2048
"""Rows of logits by which a form is judged."""


@dataclass(frozen=True)
class LabelSettings:
    """How a teacher's answers are kept.

    Args:
        form: as `form_of` reads it; None to choose by the budget, or dense float32 without one.
        budget: bytes that all answers may take.
        layers: further layers to keep the features of, beside those that the recipe matches.
        feature_dtype: of kept features.
        precision: of the teacher's forward passes.
        shard_bytes: what a shard takes, about.
    """

    form: str | None = None
    budget: float | None = None
    layers: Sequence[str] = ()
    feature_dtype: str = "float32"
    precision: str = "float32"
    shard_bytes: int = 32 * 2**20

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise UnknownName("precision", self.precision, ("float32", "bfloat16"))
        if self.form is not None:
            form_of(self.form)


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
        RecipeError: a form that the recipe's losses cannot read, or none that fits the budget.
        AnswersError: other answers lie there already.
        ModelError: a teacher whose answers cannot be stored.
    """
    place = Place(out)
    folder = place.local or Path("runs") / f"{study.name.replace('/', '-')}-teacher"
    _check_same_teacher(folder / "teacher.json", study, runtime)
    taught = train_teacher(study, folder, runtime)
    teacher = study.teacher.finish([one.network for one in taught]).to(runtime.device)
    _check_teacher(teacher)
    asked = wanted(study, teacher, runtime.device)
    forms = _forms(settings, asked)
    logits, rows = _sampled(study, teacher, runtime)
    examples = sum(len(part.source) for part in shown(study))
    layers = dict.fromkeys([*asked.layers, *settings.layers])
    beside = examples * (KEY_BYTES + _feature_bytes(study, teacher, list(layers), runtime, settings))
    found = candidates(
        logits[::2],
        rows=int(rows * examples),
        temperatures=asked.temperatures,
        forms=forms,
        beside=beside,
    )
    batch = study.arms["student"].stages[0].settings.batch_size
    chosen = choose(found, settings.budget or float("inf"), batch=max(1, int(batch * rows)))
    labelling = Labelling(
        study,
        teacher,
        place,
        form=chosen.form,
        features=dict.fromkeys(layers, getattr(torch, settings.feature_dtype)),
        rows=rows,
        runtime=runtime,
        precision=settings.precision,
        shard_bytes=settings.shard_bytes,
    )
    if runtime.is_main:
        labelling.promise().begin(place)
    runtime.wait()
    return Stated(
        labelling, chosen, found, asked, sum(one.seconds for one in taught) + study.teacher.seconds()
    )


def finish(stated: Stated) -> dict[str, Any]:
    """List the shards, measure what the answers cost in error, and sum up.

    Args:
        stated: what was promised.

    Returns:
        examples, rows, bytes, form; `stated` and `measured`: temperature -> error.
    """
    labelling = stated.labelling
    manifest = labelling.promise().finish(labelling.place)
    measured = _measured(labelling, stated.wanted.temperatures)
    about = {
        "versions": versions(),
        "teacher": _of_teacher(labelling) | {"train_seconds": stated.train_seconds},
        "label_seconds": labelling.spent(),
        "stated": _by_temperature(stated.candidate.errors),
        "measured": _by_temperature(measured),
    }
    labelling.place.write(ABOUT, (json.dumps(about, indent=1) + "\n").encode())
    return summary(manifest) | {"out": labelling.place.url} | about


def summary(manifest: Manifest) -> dict[str, Any]:
    """The sizes of finished answers."""
    return {
        "form": manifest.form,
        "examples": manifest.examples,
        "rows": manifest.rows,
        "bytes": manifest.nbytes,
        "bytes_per_row": manifest.nbytes / max(manifest.rows, 1),
        "shards": len(manifest.shards),
    }


def repair(labelling: Labelling) -> list[str]:
    """Make damaged shards again; what was wrong with each."""
    answers = Answers(labelling.place.url)
    found = answers.damaged()
    for number, record in enumerate(answers.manifest.shards):
        if any(line.startswith(record.name) for line in found):
            labelling.make(number)
    return found


def _check_same_teacher(mark: Path, study: Study, runtime: Runtime) -> None:
    """Refuse to go on with a teacher that another recipe, or other data, had trained there."""
    ours = json.loads(
        json.dumps({name: study.resolved.get(name) for name in ("teacher", "task")}, default=str)
    )
    if runtime.is_main and study.teacher.arms:
        if mark.exists() and read_json(mark) != ours:
            raise OutputError(
                f"{mark.parent} holds a teacher of another recipe or of other data; choose another folder "
                "(--out), or delete that one"
            )
        write_json(mark, ours)
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


def _forms(settings: LabelSettings, asked: Wanted) -> list[Form] | None:
    """The form that was asked for, or those to choose from; None for the whole ladder."""
    if settings.form is None and settings.budget is None:
        return [form_of("dense:float32")]
    if settings.form is None:
        kinds = ("float32", "float16", "bfloat16", "int8")
        return [form_of(f"dense:{kind}") for kind in kinds] if asked.dense else None
    form = form_of(settings.form, temperatures=asked.temperatures)
    if asked.dense and not form.text.startswith("dense"):
        raise RecipeError(
            f"{', '.join(asked.dense)} need all logits, and {form.text} keeps few of them; use "
            "--form dense:float16, or response.SoftTarget"
        )
    unserved = [each for each in asked.temperatures if not form.serves(each)]
    if unserved:
        at = ",".join(f"{each:g}" for each in asked.temperatures)
        raise RecipeError(
            f"{form.text} cannot serve temperature {', '.join(f'{each:g}' for each in unserved)}, which the "
            "recipe uses: what is left out of it has another mass at another temperature. Use topk with "
            f"tails (topk:64@{at}), or dense answers"
        )
    return [form]


def _sampled(study: Study, teacher: Teacher, runtime: Runtime) -> tuple[Tensor, float]:
    """Some of a teacher's logits, and how many rows an example has on average."""
    batches = list(sample(shown(study), rows=SAMPLE))
    found = [rows_of(logits_of(answer(teacher, batch, runtime.device)), batch) for batch in batches]
    logits = torch.cat(found)
    return logits, len(logits) / sum(map(len, batches))


def _measured(labelling: Labelling, temperatures: Sequence[float]) -> dict[float, FormError]:
    """The error of what was stored, on the sample of the validation split."""
    answers = Answers(labelling.place.url)
    true: list[Tensor] = []
    kept: dict[float, list[Tensor]] = {each: [] for each in temperatures}
    for batch in sample(labelling.parts, rows=SAMPLE):
        true.append(rows_of(logits_of(answer(labelling.teacher, batch, labelling.runtime.device)), batch))
        held = answers.outputs(batch)
        stored = held.logits if held.sparse is None else held.sparse
        assert stored is not None
        for each, parts in kept.items():
            log_probs = spread_log_probs(stored, each)
            parts.append(
                log_probs[batch.mask] if log_probs.ndim > 2 and batch.mask is not None else log_probs
            )
    logits = torch.cat(true)
    again = redrawn(labelling.form, logits)
    return {
        each: error_of(torch.cat(parts) * each, logits, each, again=again) for each, parts in kept.items()
    }


def _of_teacher(labelling: Labelling) -> dict[str, Any]:
    """What the teacher costs; and how good it is, where its answers are not kept whole."""
    teacher, problem, device = labelling.teacher, labelling.study.problem, labelling.runtime.device
    found: dict[str, Any] = {"cost": cost_of_teacher(labelling.study, teacher, device)}
    if not labelling.form.text.startswith("dense"):
        measured = measure_teacher(teacher, problem, device)
        found |= {"quality": measured.quality, "calibration": measured.calibration}
    return found


def _by_temperature(errors: Mapping[float, FormError]) -> dict[str, Any]:
    return {f"{temperature:g}": asdict(error) for temperature, error in errors.items()}
