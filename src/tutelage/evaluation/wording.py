"""Differences between two arms, in plain words."""

from __future__ import annotations

from tutelage.evaluation.judgement import Verdict

__all__ = ["describe"]

ALONE = "the same student trained alone"

UNJUDGED = {
    "copies": "all seeds ended with equal weights, so that they are one seed: the network came ready-made "
    "and no order of examples told the seeds apart (one batch an epoch, say)",
    "agree": "{seeds} paired seeds agree exactly, which tells no spread",
}


def describe(verdict: Verdict, unjudged: str, *, looks: int, family: int) -> str:
    """One sentence: by how much the student differs from its control, and how sure that is.

    Args:
        verdict: all but this sentence.
        unjudged: why nothing could be judged; empty where it could.
        looks: which look at the test set this is, from 1.
        family: how many comparisons share the error; 1 for one that stands alone.
    """
    scale = 100 if _is_share(verdict.metric) else 1
    head = _head(verdict, scale)
    if unjudged:
        return f"{head}, {_unjudged(verdict, unjudged)}"
    told = f"{_interval(verdict, scale)} ({'; '.join([_lucks(verdict), *_shared(looks, family)])})"
    if verdict.word != "not shown":
        return f"{head}, {told}"
    assert verdict.smallest_effect is not None
    unit = " points" if scale == 100 else ""
    least = f"{_number(scale * verdict.smallest_effect, scale)}{unit}"
    joint = "but" if verdict.difference else "and"
    could = f"{least} is the smallest effect that this run could have shown"
    return f"{head}, {joint} the {told} holds zero; {could}"


def _unjudged(verdict: Verdict, unjudged: str) -> str:
    if unjudged != "seeds":
        joint = "but" if verdict.difference else "and"
        return f"{joint} {UNJUDGED[unjudged].format(seeds=verdict.seeds)}"
    if verdict.seeds == 1:
        return "on one seed: the spread between seeds is unknown, so nothing is shown"
    return f"on {verdict.seeds} seeds: no word is given below three"


def _interval(verdict: Verdict, scale: int) -> str:
    assert verdict.interval is not None
    low, high = (scale * edge for edge in verdict.interval)
    seeds = f"{verdict.seeds} paired seeds"
    over = seeds if verdict.examples is None else f"{seeds} and {verdict.examples:,} test examples"
    span = f"{_number(low, scale)} to {_number(high, scale)}"
    return f"{100 * verdict.level:.4g} % interval {span} over {over}"


def _lucks(verdict: Verdict) -> str:
    if verdict.share_of_seeds is None:
        return "which says nothing about another test set"
    seeds = round(100 * verdict.share_of_seeds)
    return f"{seeds} % of it the luck of seeds, {100 - seeds} % that of the test set"


def _shared(looks: int, family: int) -> list[str]:
    found = [f"look {looks} at the test set"] if looks > 1 else []
    return found + ([f"one of {family} comparisons"] if family > 1 else [])


def _head(verdict: Verdict, scale: int) -> str:
    than = ALONE if verdict.against == "control" else verdict.against
    whose = "" if verdict.of == "student" else f"{verdict.of}: "
    return f"{whose}{_size(verdict.metric, verdict.difference, scale)} {than}"


def _size(metric: str, difference: float, scale: int) -> str:
    size = _number(abs(scale * difference), scale)
    more = difference > 0
    if difference == 0:
        return f"{metric} no different from that of"
    if metric == "accuracy":
        return f"{size} points {'more' if more else 'less'} accurate than"
    if metric == "errors":
        return f"{size} {'more' if more else 'fewer'} errors than"
    unit = " points" if scale == 100 else ""
    return f"{metric} {size}{unit} {'higher' if more else 'lower'} than"


def _is_share(metric: str) -> bool:
    return metric.endswith("accuracy") or metric.startswith("recall")


def _number(value: float, scale: int) -> str:
    """Points with one decimal, or two digits where that would say 0; other units with three digits."""
    if scale == 100:
        text = f"{value:.1f}" if value == 0 or abs(value) >= 0.05 else f"{value:.2g}"
    else:
        text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")
