"""Numbers as a reader wants them: few digits, a unit, and a dash where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

__all__ = [
    "DASH",
    "amount",
    "counted",
    "difference",
    "duration",
    "in_text",
    "label",
    "lower_is_better",
    "mapping",
    "mean",
    "measure",
    "number",
    "percent",
    "ratio",
    "sequence",
    "size",
    "spread",
]

DASH = "—"
GAP = "\u00a0"
_SHARES = ("accuracy", "recall", "precision", "f1", "agreement", "error_rate", "forgetting", "transfer")
_LOWER = ("error", "nll", "ece", "brier", "loss", "mse", "mae", "perplexity", "kl", "forgetting", "disagree")
_LABELS = {
    "ece": "Calibration error (ECE)",
    "nll": "Log loss (NLL)",
    "brier": "Brier score",
    "kl": "KL divergence",
    "mse": "Mean squared error",
    "rmse": "Root of the mean squared error",
    "mae": "Mean absolute error",
    "r2": "Explained variance (R²)",
    "bleu": "BLEU",
    "chrf": "chrF",
}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_THOUSANDS = ("", "k", "M", "G", "T", "P")


def number(value: Any) -> float | None:
    """A finite float, or None for everything else (null, NaN, text)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def mapping(value: Any) -> Mapping[str, Any]:
    """The mapping itself, or an empty one where something is missing."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> Sequence[Any]:
    """The list itself, or an empty one where something is missing."""
    return value if isinstance(value, list | tuple) else ()


def mean(value: Any) -> float | None:
    """The mean of `{"mean": …, "per_seed": […]}`; a bare number is its own mean."""
    return number(value.get("mean")) if isinstance(value, Mapping) else number(value)


def label(metric: str) -> str:
    """A metric's name for people: `balanced_accuracy` -> `Balanced accuracy`."""
    words = metric.replace("_", " ")
    return _LABELS.get(metric, words[:1].upper() + words[1:])


def in_text(metric: str) -> str:
    """A metric's name inside a sentence: capitals stay only where they are an abbreviation's."""
    title = label(metric)
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of this metric is the better one."""
    return any(word in metric.lower().split("_") or metric.lower().startswith(word) for word in _LOWER)


def measure(metric: str, value: Any) -> str:
    """A metric's value: a share as a percentage, anything else with three digits."""
    found = number(value)
    if found is None:
        return DASH
    return f"{100 * found:.2f}{GAP}%" if _is_share(metric, found) else _minus(_three(found))


def difference(metric: str, value: Any, *, beside: Any = None) -> str:
    """A signed difference of two values of a metric; shares differ by percentage points (pp).

    Args:
        metric: its name.
        value: the difference.
        beside: for the bound of an interval, the difference that it bounds: both are read in one unit, also
            where a bound lies beyond 100 points.
    """
    found, middle = number(value), number(beside)
    if found is None:
        return DASH
    if not found:
        found = 0.0  # and not -0
    share = _is_share(metric, found if middle is None else middle)
    text = f"{100 * found:.2f}" if share else _three(found)
    sign = "" if text.startswith("-") else "+" if found > 0 else ""
    return _minus(sign + text) + (f"{GAP}pp" if share else "")


def spread(metric: str, value: Any) -> str:
    """`± s` over the seeds, to the decimals of their mean; empty for fewer than two, and where all agree."""
    seeds = [found for found in map(number, sequence(mapping(value).get("per_seed"))) if found is not None]
    if len(seeds) < 2:
        return ""
    deviation = stdev(seeds)
    if deviation == 0:
        return ""
    if _is_share(metric, max(map(abs, seeds))):
        return f"±{GAP}{100 * deviation:.2f}"
    text = f"{deviation:,.{_decimals(fmean(seeds))}f}"
    return f"±{GAP}{text if text.strip('0.') else _three(float(f'{deviation:.1g}'))}"


def percent(value: Any) -> str:
    """A share as a whole percentage."""
    found = number(value)
    return DASH if found is None else _minus(f"{100 * found:.0f}{GAP}%")


def amount(value: Any, unit: str = "") -> str:
    """A count with a metric prefix: 2_395_210 -> `2.4 M`."""
    found = number(value)
    if found is None:
        return DASH
    for prefix in _THOUSANDS:
        if abs(found) < 999.5 or prefix == _THOUSANDS[-1]:
            break
        found /= 1000
    suffix = prefix + unit
    return _minus(_three(found)) + (f"{GAP}{suffix}" if suffix else "")


def counted(number: int, noun: str) -> str:
    """How many of something: `1 file`, `1,200 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(value: Any) -> str:
    """Bytes, in powers of 1000."""
    return amount(value, "B")


def duration(seconds: Any) -> str:
    """Seconds as a person says them: `3 min 20 s`."""
    found = number(seconds)
    if found is None:
        return DASH
    if found < 59.95:
        return f"{_three(found)}{GAP}s"
    minutes, rest = divmod(round(found), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{GAP}h {minutes}{GAP}min" if hours else f"{minutes}{GAP}min {rest}{GAP}s"


def ratio(teacher: Any, outcome: Any, words: tuple[str, str]) -> str:
    """`29× smaller`: how the cost of an outcome compares with the teacher's."""
    before, after = number(teacher), number(outcome)
    if before is None or after is None or before <= 0 or after <= 0:
        return DASH
    if before == after:
        return "the same"
    times, word = (before / after, words[0]) if before >= after else (after / before, words[1])
    if times < 1.05:
        return "about the same"
    return f"{times:,.0f}× {word}" if times >= 9.95 else f"{times:.1f}× {word}"


def _is_share(metric: str, value: float) -> bool:
    return any(f"_{word}" in f"_{metric.lower()}" for word in _SHARES) and abs(value) <= 1


def _three(value: float) -> str:
    """Three digits; what is very small or very large gets a power of ten, as people write it."""
    if 999.5 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    digits, _, power = text.partition("e")
    return f"{digits}·10{str(int(power)).translate(_RAISED)}" if power else text


def _decimals(mean: float) -> int:
    """After the point of a number of three digits."""
    return max(0, 2 - math.floor(math.log10(abs(mean)))) if mean else 2


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")
