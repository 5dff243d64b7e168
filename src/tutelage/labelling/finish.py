"""Close a folder of answers: list its shards, measure their error, make damaged ones again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from tutelage.answers import Answers, FormError, Manifest, error_of, redrawn, spread_log_probs, write_about
from tutelage.labelling.answering import answer, logits_of, rows_of, sample
from tutelage.labelling.labelling import Labelling
from tutelage.labelling.prepare import SAMPLE, Stated
from tutelage.runs.environment import versions
from tutelage.runs.measuring import cost_of_teacher, measure_teacher

__all__ = ["finish", "repair"]


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
    write_about(labelling.place, about)
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


def _measured(labelling: Labelling, temperatures: Sequence[float]) -> dict[float, FormError]:
    """The error of what was stored, on the sample of the validation split."""
    answers = Answers(labelling.place.url, trusted=True)  # written a moment ago
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
        if measured is None:
            return found
        found |= {"quality": measured.quality, "calibration": measured.calibration}
    return found


def _by_temperature(errors: Mapping[float, FormError]) -> dict[str, Any]:
    return {f"{temperature:g}": asdict(error) for temperature, error in errors.items()}
