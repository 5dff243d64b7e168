"""A student of a run, written for use elsewhere and compared with itself on real examples."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file
from torch import Tensor, nn

from tutelage.data import reading
from tutelage.errors import RecipeError, TutelageWarning, UnknownName
from tutelage.export import export, formats, suffixes
from tutelage.export.bundle import Described, Kept, bundle
from tutelage.export.checking import MOST, Record
from tutelage.files import read_json
from tutelage.report import upgraded
from tutelage.report.numbers import mapping
from tutelage.runs.card import card
from tutelage.runs.folder import read_run
from tutelage.runs.licences import licences_of
from tutelage.tasks.exam import ClassExam, TokenExam
from tutelage.tasks.metric import MetricExam
from tutelage.tasks.problem import Problem
from tutelage.types import Batch

__all__ = ["BUNDLE", "Exportable", "examples_of", "target_of", "write_student"]

BUNDLE = "bundle"
"""The format that is a folder."""


@dataclass(frozen=True)
class Exportable:
    """A student, and what is known of it.

    Args:
        network: to write.
        problem: data and exam.
        role: the network's name in its arm, by which the task says what it reads.
        folder: of the run.
    """

    network: nn.Module
    problem: Problem
    role: str
    folder: Path

    def shown(self, count: int = MOST) -> Batch:
        """Up to so many examples of the split that results are reported on, as the network reads them."""
        batch = examples_of(self.problem, count)
        return reading(batch, self.problem.reads.get(self.role))


def examples_of(problem: Problem, count: int = MOST) -> Batch:
    """Up to so many examples of the test split (of validation where there is none), evenly spread."""
    source = problem.reported
    count = min(count, len(source))
    return source.batch([place * len(source) // count for place in range(count)])


def target_of(folder: Path, format_: str) -> Path:
    """Where a format is written to in a run's folder.

    Raises:
        UnknownName: there is no such format; the nearest one is named.
    """
    if format_ == BUNDLE:
        return folder / "export" / BUNDLE
    if format_ not in formats:
        raise UnknownName("format", format_, [*formats, BUNDLE])
    return folder / "export" / f"student{suffixes[format_]}"


def write_student(
    student: Exportable,
    format_: str,
    path: Path | None = None,
    *,
    examples: int = 0,
    licences: Mapping[str, str] | None = None,
    **options: Any,
) -> Record:
    """Write a student in a format, compared with itself on up to 100 examples of the reported split.

    Args:
        student: whom.
        format_: a name of `tutelage.export.formats`, or "bundle".
        path: the file, or the folder of a bundle; by default under `export` in the run's folder.
        examples: test examples to lie in a bundle, so that quality can be measured on the device.
        licences: of `student`, `teacher` and `data`, for a bundle's card.
        options: `overwrite`, `tolerance` and the format's own.

    Raises:
        RecipeError: examples or licences came, and the format is no bundle.
        UnknownName, MissingExtra, ModelError, OutputError: see `tutelage.export.export`.
    """
    target = path or target_of(student.folder, format_)
    target_of(student.folder, format_)  # an unknown format is refused with a path too
    if format_ == BUNDLE:
        return _bundle(student, target, examples, licences or {}, options)
    given = [name for name, came in (("examples", examples), ("licences", licences)) if came]
    if given:
        raise RecipeError(f"{given[0]} came for the format {format_}; only a bundle has them: leave it out")
    if format_ == "gguf" and (student.folder / "tokenizer").is_dir():
        options.setdefault("tokenizer", student.folder / "tokenizer")
    example, raw = student.shown().inputs, student.problem.raw
    if raw is not None and format_ == "onnx" and options.get("encoding", raw) is not None:
        example = raw(examples_of(student.problem).inputs)
        options.setdefault("encoding", raw.encoding)
    elif raw is not None:
        options.pop("encoding", None)
        _tell_of_encoding(format_, student.folder)
    return export(student.network, example, target, format=format_, **options)


def _tell_of_encoding(format_: str, folder: Path) -> None:
    warnings.warn(
        f"the student was trained on a frame, and a file of {format_} reads encoded rows; encode others with "
        f"tutelage.data.frames.Encoding.load({str(folder)!r}), or export as onnx, which takes the raw "
        "columns",
        TutelageWarning,
        stacklevel=4,
    )


def _bundle(
    student: Exportable, target: Path, count: int, licences: Mapping[str, str], options: dict[str, Any]
) -> Record:
    problem = student.problem
    results = upgraded(read_run(student.folder, "results.json"))
    details = mapping(_beside(student.folder / "details.json"))
    recipe = mapping(mapping(read_run(student.folder, "run.json")).get("recipe"))
    preparation, example, kept = dict(problem.preparation), student.shown().inputs, None
    encoding = None
    if problem.raw is not None:
        encoding = problem.raw.encoding
        kinds = {name: kind for name, kind in encoding.columns.kinds.items() if kind != "empty"}
        preparation = {"kind": "columns", "columns": kinds}
        example = problem.raw(examples_of(problem).inputs)
        options = options | {"encoding": encoding}
    if count:
        kept = _kept(student, count)
    known = licences_of(recipe, licences)
    described = Described(
        name=str(results.get("recipe") or student.folder.name),
        card=partial(card, results, details, licences=known, preparation=preparation),
        answer=_answer(problem),
        classes=problem.class_names if _answer(problem) == "class" else (),
        metric=problem.metric,
        preparation=preparation,
        more={} if encoding is not None else _onnx_outcomes(student.folder),
    )
    return bundle(student.network, example, target, described=described, kept=kept, **options)


def _kept(student: Exportable, count: int) -> Kept:
    raw = student.problem.raw
    if raw is None:
        batch = student.shown(count)
        return Kept(batch.inputs, batch.labels if isinstance(batch.labels, Tensor) else None)
    whole = examples_of(student.problem, count)
    return Kept(raw(whole.inputs), whole.labels if isinstance(whole.labels, Tensor) else None)


def _onnx_outcomes(folder: Path) -> dict[str, bytes]:
    """The files of the outcomes that are ONNX files themselves, such as of 8 bits, by the outcome's name."""
    found = {}
    for weights in sorted(folder.glob("outcomes/*/student.safetensors")):
        kind = str(mapping(_beside(weights.with_name("network.json"))).get("class", ""))
        if kind.rpartition(".")[2] == "OnnxNetwork":
            found[weights.parent.name] = bytes(load_file(weights)["file"].numpy().tobytes())
    return found


def _answer(problem: Problem) -> Literal["class", "token", "values"]:
    exam = problem.exam.exam if isinstance(problem.exam, MetricExam) else problem.exam
    if isinstance(exam, ClassExam):
        return "class"
    return "token" if isinstance(exam, TokenExam) else "values"


def _beside(path: Path) -> Any:
    return read_json(path) if path.is_file() else {}
