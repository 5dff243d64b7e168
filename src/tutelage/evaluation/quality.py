"""How often answers are right, over all and class by class; how probable the labels are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.errors import TutelageWarning
from tutelage.evaluation.predictions import Predictions

__all__ = ["classification", "mean_nll", "next_token"]


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


def next_token(predictions: Predictions, *, lengths: Int[Tensor, " c"] | None = None) -> dict[str, float]:
    """Measure how probable the next tokens of a text are (NLL, perplexity).

    Args:
        predictions: answers and labels; positions without a label are left out.
        lengths: how many bytes of text each token stands for; None where that is not known.

    Returns:
        nll: mean negative log-likelihood of the next token, in nats.
        perplexity: its exponential: among how many equally likely tokens the model would be as unsure.
        accuracy: share of positions where the likeliest token comes next, 0 … 1.
        bits_per_byte: bits over all positions by bytes of their next tokens, which compares models with
            different tokens; missing without `lengths`.

    Raises:
        DataError: no position has a label.

    Source: Jelinek et al. 1977, "Perplexity, a measure of the difficulty of speech recognition tasks".
    """
    known = predictions.labelled
    nll = mean_nll(known)
    values = {
        "nll": nll,
        "perplexity": math.exp(min(nll, 700.0)),
        "accuracy": float((known.classes == known.labels).double().mean()),
    }
    if lengths is not None:
        count = int(lengths[known.labels].sum())
        values["bits_per_byte"] = nll * len(known) / math.log(2) / max(1, count)
    return values


def mean_nll(known: Predictions) -> float:
    """Mean negative log-likelihood of the labels, in nats; every item must have one."""
    log_probs = known.scores.log_prob.unsqueeze(-1)
    return float(F.nll_loss(log_probs, torch.zeros(len(known), dtype=torch.int64)))


def _recalls(known: Predictions) -> tuple[Int[Tensor, " c"], Float[Tensor, " c"]]:
    """Examples of each class, and the share of them that was found (NaN for a class without examples)."""
    totals = torch.bincount(known.labels, minlength=known.num_classes)
    hits = known.labels[known.classes == known.labels]
    return totals, torch.bincount(hits, minlength=known.num_classes).double() / totals
