"""What is settled before the first score: the two networks, and that the folder is theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tutelage.answers import Place
from tutelage.engine import Runtime
from tutelage.errors import ModelError, NonFiniteLoss, OutputError, RecipeError
from tutelage.files import read_json, write_json
from tutelage.labelling.fingerprint import fingerprint
from tutelage.labelling.prepare import refuse_run, teacher_for
from tutelage.selecting.scoring import Scoring
from tutelage.selecting.settings import SelectSettings
from tutelage.studies import Arm, Study
from tutelage.tasks.problem import Corpus
from tutelage.teachers import Frozen
from tutelage.training import train_arm

__all__ = ["prepare"]


def prepare(study: Study, out: str | Path, settings: SelectSettings, runtime: Runtime) -> Scoring:
    """Train the teacher and the network that it is held against, or read them.

    Args:
        study: whose documents, whose teacher.
        out: the folder of the selection.
        settings: the small network, and how the work is cut.
        runtime: where.

    Raises:
        RecipeError: a task without documents, or no teacher; or nobody to hold the teacher against.
        ModelError: a teacher that is no single network.
        OutputError: the folder holds a run, or scores of other networks or documents.
    """
    corpus = study.problem.corpus
    if corpus is None:
        raise RecipeError("the recipe's task has no documents to choose from; take one of language.modelling")
    if study.teacher is None:
        raise RecipeError("the recipe has no teacher to score documents by; add `teacher: …`")
    place = Place(out)
    if place.local is None:
        raise RecipeError(f"--out came as {out}; a selection is written to a folder of this machine")
    refuse_run(place)
    teacher, _ = teacher_for(study, place, runtime)
    if not isinstance(teacher, Frozen):
        raise ModelError(
            f"{type(teacher).__name__} is no single network, and one network scores a document; give a "
            "teacher `frozen`"
        )
    reference = _reference(study, corpus, place.local, settings, runtime)
    work = Scoring(study, corpus, (teacher, reference), place, runtime=runtime, settings=settings)
    if runtime.is_main:
        _promise(work, place.local / "scored.json")
        study.problem.write_files(place.local)
    runtime.wait()
    return work


def _reference(
    study: Study, corpus: Corpus, folder: Path, settings: SelectSettings, runtime: Runtime
) -> Frozen:
    """The small network: one that is there, or the recipe's student, trained by labels."""
    if settings.reference is not None:
        return Frozen(corpus.network(settings.reference)).to(runtime.device)
    arm = _alone(study)
    if runtime.is_main:
        told = {name: study.resolved.get(name) for name in ("student", "stages", "control", "task")}
        said = json.loads(json.dumps(told, default=str))
        _same(folder / "reference.json", said, "a small network that was trained by another recipe or text")
    runtime.wait()
    seed = study.seeds[0]
    trained = train_arm(
        arm, study.problem, runtime, folder / "reference", seed=seed, teacher=None, label="reference"
    )
    if trained.failed is not None:
        raise NonFiniteLoss(f"reference: {trained.failed}")
    return Frozen(trained.network).to(runtime.device)


def _alone(study: Study) -> Arm:
    """The arm in which nobody teaches."""
    held = next((study.arms[name] for name in ("control", "student") if name in study.arms), None)
    if held is None or held.needs_teacher:
        raise RecipeError(
            "the teacher's word on a document is held against that of a small network, and the recipe "
            "trains none by labels alone; give one (--reference FOLDER), or leave `control: false` out"
        )
    return held


def _promise(work: Scoring, file: Path) -> None:
    """Say whose scores of what these are; refuse to mix them with others."""
    nothing = torch.empty(0)
    ours = {
        "teacher": fingerprint(work.teacher, nothing),
        "reference": fingerprint(work.reference, nothing),
        "documents": work.corpus.fingerprint(),
        "shard_documents": work.settings.shard_documents,
    }
    _same(file, ours, "scores of other networks, other documents or shards of another size")


def _same(file: Path, ours: Mapping[str, Any], other: str) -> None:
    """Note what lies in a folder, or refuse to go on with something else there."""
    if not file.exists():
        write_json(file, ours)
    elif read_json(file) != json.loads(json.dumps(dict(ours), default=str)):
        raise OutputError(f"{file.parent} holds {other}; choose another folder (--out), or delete that one")
