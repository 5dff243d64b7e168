"""How closely a student repeats its teacher, which is not the same as being right."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.evaluation.bins import confidence_bins
from tutelage.evaluation.predictions import Predictions
from tutelage.types import UNLABELLED

__all__ = ["confusion", "fidelity"]


def fidelity(student: Predictions, teacher: Predictions, *, bins: int = 10) -> dict[str, Any]:
    """Compare a student's answers with its teacher's, on the same examples in any order.

    A student that agrees with the teacher's errors has copied them; one that disagrees has learnt from the
    labels, or from chance. The bins tell whether it follows where the teacher is sure, where it doubts, or
    both.

    Where the logits of a sample are held, KL and bins are those of the sample, the rest those of all items.

    Args:
        student, teacher: answers with the same ids and the same classes, and logits of the same items.
        bins: how many equal-width bins the teacher's confidence (its greatest probability) is cut into.

    Returns:
        agreement: share of items with the same top class, 0 … 1.
        kl: mean KL(teacher‖student) at temperature 1 in nats; 0 where the probabilities are equal.
        bins: a list of {"low", "high", "count", "agreement", "kl"}; empty bins are left out.
        teacher_errors: how many labelled items the teacher gets wrong.
        agreement_on_teacher_errors: share of these where the student says the same; None without any.

    Raises:
        ValueError: ids that differ or repeat, other classes, labels that differ, logits of other items, or no
            example.

    Source: Stanton et al. 2021, "Does Knowledge Distillation Really Work?", section 2: top-1 agreement and
    predictive KL. The bins and the errors are ours.
    """
    student, teacher = _aligned(student, teacher)
    agree = student.classes == teacher.classes
    wrong = (teacher.labels != UNLABELLED) & (teacher.classes != teacher.labels)
    log_teacher = teacher.log_probs
    kl = (log_teacher.exp() * (log_teacher - student.log_probs)).sum(-1).clamp_min(0)
    cut = confidence_bins(log_teacher.exp().amax(-1), bins=bins)
    agree_there = agree[teacher.sampled]
    return {
        **_agreement(agree, kl),
        "bins": [
            {
                "low": low,
                "high": high,
                "count": int(inside.sum()),
                **_agreement(agree_there[inside], kl[inside]),
            }
            for low, high, inside in cut
        ],
        "teacher_errors": int(wrong.sum()),
        "agreement_on_teacher_errors": float(agree[wrong].double().mean()) if wrong.any() else None,
    }


def confusion(student: Predictions, teacher: Predictions) -> list[list[int]]:
    """Count the student's top class (columns) against the teacher's (rows).

    Shapes: C lists of C counts; they sum to the number of items.

    Raises:
        ValueError: as `fidelity`.
    """
    student, teacher = _aligned(student, teacher)
    width = teacher.num_classes
    cells = torch.bincount(teacher.classes * width + student.classes, minlength=width * width)
    return [[int(count) for count in row] for row in cells.reshape(width, width)]


def _agreement(agree: Bool[Tensor, " n"], kl: Float[Tensor, " n"]) -> dict[str, float]:
    return {"agreement": float(agree.double().mean()), "kl": float(kl.mean())}


def _aligned(student: Predictions, teacher: Predictions) -> tuple[Predictions, Predictions]:
    """Both, sorted by id."""
    if student.num_classes != teacher.num_classes:
        raise ValueError(
            f"the student answers with {student.num_classes} classes and the teacher with "
            f"{teacher.num_classes}; fidelity compares equal sets of classes"
        )
    student, teacher = _sorted(student, "student"), _sorted(teacher, "teacher")
    if not torch.equal(student.ids, teacher.ids):
        known, taught = set(student.ids.tolist()), set(teacher.ids.tolist())
        raise ValueError(
            f"the student has answers to {len(known - taught)} examples that the teacher lacks, and lacks "
            f"{len(taught - known)} that the teacher has; ask both about the same set"
        )
    differ = int((student.labels != teacher.labels).sum())
    if differ:
        raise ValueError(
            f"{differ} examples have one label in the student's answers and another in the teacher's; "
            "their ids do not name the same examples"
        )
    if not torch.equal(student.sampled, teacher.sampled):
        raise ValueError(
            f"the student's logits are of {len(student.sampled)} items and the teacher's of "
            f"{len(teacher.sampled)} others; ask both about the same set with `predict`"
        )
    return student, teacher


def _sorted(predictions: Predictions, who: str) -> Predictions:
    ids, order = predictions.ids.sort()
    repeated = int((ids[1:] == ids[:-1]).sum())
    if repeated or not len(ids):
        what = f"{repeated} repeated ids" if repeated else "no example"
        raise ValueError(f"the {who}'s answers hold {what}; one answer for each id was expected")
    return predictions.take(order)
