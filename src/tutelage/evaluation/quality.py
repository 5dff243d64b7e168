"""How often a classifier is right, over all and class by class."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.errors import TutelageWarning
from tutelage.evaluation.predictions import Predictions

__all__ = ["classification"]


def classification(predictions: Predictions, *, watch: Sequence[int] = ()) -> dict[str, float]:
    """Count right and wrong answers among the labelled examples.

    Args:
        predictions: answers and labels; examples without a label are left out.
        watch: classes to report one by one, because overall accuracy hides them.

    Returns:
        accuracy: share of right answers, 0 … 1.
        errors: how many answers are wrong.
        balanced_accuracy: mean recall over the classes that have examples, 0 … 1.
        worst_class_accuracy: the lowest of these recalls, 0 … 1: what the mean can hide.
        recall_<class>: for each watched class, the share of its examples that were found. A watched class
            without an example has no recall: its key is missing, and a warning says so.

    Raises:
        DataError: no example has a label.
        ValueError: a watched class that the network does not have.
    """
    unknown = [index for index in watch if not 0 <= index < predictions.num_classes]
    if unknown:
        raise ValueError(
            f"cannot watch class {unknown}: the network has classes 0 … {predictions.num_classes - 1}"
        )
    known = predictions.labelled
    totals, recalls = _recalls(known)
    present = recalls[totals > 0]
    wrong = int((known.classes != known.labels).sum())
    values = {
        "accuracy": 1 - wrong / len(known),
        "errors": float(wrong),
        "balanced_accuracy": float(present.mean()),
        "worst_class_accuracy": float(present.min()),
    }
    for index in watch:
        if totals[index] > 0:
            values[f"recall_{index}"] = float(recalls[index])
        else:
            message = f"watched class {index} has no example in this set, so it has no recall"
            warnings.warn(message, TutelageWarning, stacklevel=2)
    return values


def _recalls(known: Predictions) -> tuple[Int[Tensor, " c"], Float[Tensor, " c"]]:
    """Examples of each class, and the share of them that was found (NaN for a class without examples)."""
    totals = torch.bincount(known.labels, minlength=known.num_classes)
    hits = known.labels[known.classes == known.labels]
    return totals, torch.bincount(hits, minlength=known.num_classes).double() / totals
