"""Whether a classifier's probabilities mean what they say."""

from __future__ import annotations

from typing import Any

from tutelage.evaluation.bins import confidence_bins
from tutelage.evaluation.predictions import Predictions
from tutelage.evaluation.quality import mean_nll

__all__ = ["calibration"]


def calibration(predictions: Predictions, *, bins: int = 15) -> dict[str, Any]:
    """Measure calibration (ECE, NLL, Brier) of the labelled items at temperature 1.

    A teacher that is too sure of itself hides what it knows about the wrong classes; a student that copies
    it inherits the overconfidence.

    Args:
        predictions: answers and labels; items without a label are left out.
        bins: how many equal-width bins the confidence is cut into.

    Returns:
        ece: expected calibration error, 0 … 1: |confidence − accuracy| of each bin, weighted by its count.
        nll: mean negative log-likelihood of the label, in nats.
        brier: squared distance to the one-hot label, summed over classes, mean over items, 0 … 2.
        confidence: mean probability of the top class, 0 … 1.
        curve: a list of {"low", "high", "count", "confidence", "accuracy"}; empty bins are left out.

    Raises:
        DataError: no item has a label.
        ValueError: `bins` below 1.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equations 1 to 5; their bins hold
    their upper edge, ours the lower one. Brier 1950, equation 2.
    """
    known = predictions.labelled
    scores = known.scores
    top = scores.confidence
    right = (scores.classes == known.labels).double()
    curve = [
        {
            "low": low,
            "high": high,
            "count": int(inside.sum()),
            "confidence": float(top[inside].mean()),
            "accuracy": float(right[inside].mean()),
        }
        for low, high, inside in confidence_bins(top, bins=bins)
    ]
    return {
        "ece": sum(point["count"] * abs(point["confidence"] - point["accuracy"]) for point in curve)
        / len(known),
        "nll": mean_nll(known),
        "brier": float(scores.squared_error.mean()),
        "confidence": float(top.mean()),
        "curve": curve,
    }
