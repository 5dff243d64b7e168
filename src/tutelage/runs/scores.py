"""What each test example adds to the metric, kept so that runs can be compared example by example."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tutelage.engine.sealed import checksum_differs, sealed
from tutelage.errors import CheckpointError
from tutelage.files import write_atomically
from tutelage.runs.examined import Examined
from tutelage.tasks.collected import Collected
from tutelage.tasks.exam import Answers

__all__ = ["ExampleScores", "read_scores", "scores_of", "write_scores"]

_FOLDER = "scores"
_FORMAT = "tutelage.scores.1"


@dataclass(frozen=True)
class ExampleScores:
    """What each example, or group of examples, adds to an outcome's metric on each seed that ended well.

    Args:
        metric: whose mean over examples it is.
        higher_is_better: its direction.
        values: in the metric's unit; 1 for right and 0 for wrong where it is an accuracy.
        seeds: of the rows.
        ids: of the columns: the stable numbers of examples; of groups, their numbers.
        grouped: whether columns are groups of examples (pseudo-values of a metric that is no mean).
        num_examples: how many examples stand behind the columns.
        chance: what a seed that broke off counts as; None where nobody knows.
        copies: whether all seeds ended with equal weights, which leaves one seed.

    Shapes: values [seeds, columns]; seeds [seeds]; ids [columns].
    """

    metric: str
    higher_is_better: bool
    values: Tensor
    seeds: Tensor
    ids: Tensor
    grouped: bool
    num_examples: int
    chance: float | None
    copies: bool


def scores_of(one: Examined) -> ExampleScores | None:
    """The scores of an outcome; None where no seed ended well, or the metric cannot be shared out.

    Args:
        one: a measured outcome.
    """
    if not one.finished:
        return None
    try:
        values = torch.stack([row for row in one.rows if row is not None])
    except ValueError:  # of a metric that is not finite without some of the examples
        return None
    exam, first = one.problem.exam, one.finished[0]
    grouped = exam.per_example(first.answers) is None
    seeds = [seed for seed, held in zip(one.seeds, one.measured, strict=True) if held is not None]
    return ExampleScores(
        metric=exam.metric,
        higher_is_better=exam.higher_is_better,
        values=values,
        seeds=torch.tensor(seeds),
        ids=torch.arange(values.shape[1]) if grouped else _ids(first.answers, values.shape[1]),
        grouped=grouped,
        num_examples=one.num_examples,
        chance=one.problem.chance,
        copies=one.copies,
    )


def write_scores(folder: Path, outcome: str, scores: ExampleScores) -> Path:
    """Write an outcome's scores into a run's folder: `scores/<outcome>.safetensors`.

    Right and wrong take a byte an example and seed, other numbers eight: 50 kB or 400 kB for 10,000 examples
    and five seeds; and eight bytes an example for its id.

    Args:
        folder: of the run.
        outcome: its name.
        scores: what is written.
    """
    right = bool(((scores.values == 0) | (scores.values == 1)).all())
    told = {
        "format": _FORMAT,
        "metric": scores.metric,
        "higher_is_better": str(scores.higher_is_better),
        "grouped": str(scores.grouped),
        "num_examples": str(scores.num_examples),
        "chance": "" if scores.chance is None else repr(scores.chance),
        "copies": str(scores.copies),
    }
    tensors = {
        "values": scores.values.to(torch.uint8 if right else torch.float64).contiguous(),
        "seeds": scores.seeds,
        "ids": scores.ids.contiguous(),
    }
    path = folder / _FOLDER / f"{outcome}.safetensors"
    write_atomically(path, sealed(tensors, told))
    return path


def read_scores(folder: Path, outcome: str) -> ExampleScores | None:
    """An outcome's scores; None where its run kept none, as runs of earlier versions did.

    Args:
        folder: of the run.
        outcome: its name.

    Raises:
        CheckpointError: the file is truncated or foreign.
    """
    path = folder / _FOLDER / f"{outcome}.safetensors"
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            values, seeds, ids = (file.get_tensor(name) for name in ("values", "seeds", "ids"))
        if checksum_differs({"values": values, "seeds": seeds, "ids": ids}, told):
            raise CheckpointError(
                f"{path} is damaged: its numbers do not have the checksum that was written with them; delete "
                "it, and its run is compared over seeds alone"
            )
        if told["format"] != _FORMAT or values.shape != (len(seeds), len(ids)):
            raise CheckpointError(
                f"{path} holds no scores of examples; delete it, and its run is compared over seeds alone"
            )
        return ExampleScores(
            metric=told["metric"],
            higher_is_better=told["higher_is_better"] == "True",
            values=values.double(),
            seeds=seeds,
            ids=ids,
            grouped=told["grouped"] == "True",
            num_examples=int(told["num_examples"]),
            chance=float(told["chance"]) if told["chance"] else None,
            copies=told["copies"] == "True",
        )
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} is truncated, or holds no scores of examples ({error}); delete it, and its run is "
            "compared over seeds alone"
        ) from error


def _ids(answers: Answers, count: int) -> Tensor:
    """The ids of the examples that have a label, in their order, as exams give scores."""
    if len(answers.ids) == count:
        ids: Tensor = answers.ids
    elif isinstance(answers, Collected):
        ids = answers.ids[~answers.labels.isnan().all(-1)]
    else:
        ids = answers.labelled.ids
    return ids.sort().values
