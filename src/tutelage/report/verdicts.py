"""Verdicts in words and figures: what the page's first section and the terminal's last lines both say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.report import numbers
from tutelage.report.numbers import mapping, number, sequence
from tutelage.report.roles import the

__all__ = ["credit", "further", "headline", "interval", "over", "said", "smallest", "tone"]

_COMPARED = {"better": "Better", "worse": "Worse", "not shown": "Not shown to be better"}
_CREDITS = {
    "the teacher": "The teacher helped.",
    "the recipe": "The recipe helped; that its teacher did is not shown.",
    "nobody": "Whether the teacher helped is doubtful: read what stands above first.",
}


def said(verdict: Mapping[str, Any]) -> dict[str, Any] | None:
    """A verdict as text, everything that a page shows of it; None where nothing was judged.

    Args:
        verdict: one verdict of the results.
    """
    if not verdict.get("word"):
        return None
    metric, apart = str(verdict.get("metric") or ""), number(verdict.get("difference"))
    return {
        "of": str(verdict.get("of") or ""),
        "against": str(verdict.get("against") or ""),
        "word": str(verdict["word"]),
        "tone": tone(verdict),
        "headline": headline(verdict),
        "credit": credit(verdict),
        "why": str(verdict.get("why") or ""),
        "metric": numbers.in_text(metric),
        "difference": None if apart is None else numbers.difference(metric, apart),
        "interval": interval(verdict),
        "between": _between(verdict),
        "level": _level(verdict.get("level")),
        "over": over(verdict),
        "chance": _p_value(verdict.get("p_value")),
        "bar": None if apart is None else _bar(apart, verdict),
        "luck": _luck(verdict),
        "smallest": smallest(verdict),
        "uncontrolled": [str(each) for each in sequence(verdict.get("uncontrolled"))],
        "advice": [str(each) for each in sequence(verdict.get("advice"))],
    }


def further(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The verdicts beside the one that the run is about, as text.

    Args:
        results: what a run measured, of format 2.
    """
    first = mapping(results.get("verdict"))
    found = [mapping(each) for each in sequence(results.get("verdicts"))]
    parts = ("of", "against", "metric")
    rest = [each for each in found if any(each.get(part) != first.get(part) for part in parts)]
    return [text for text in map(said, rest) if text]


def headline(verdict: Mapping[str, Any]) -> str:
    """`Better than its control`: the word, and what the outcome was held against."""
    word, beside = str(verdict["word"]), str(verdict.get("against") or "")
    head = _COMPARED.get(word, word[:1].upper() + word[1:])
    if not beside or word not in _COMPARED:
        return head
    return f"{head} than {'its control' if beside == 'control' else the(beside)}"


def tone(verdict: Mapping[str, Any]) -> str:
    """`better`, `worse` or `open`: how a verdict is coloured."""
    return str(verdict["word"]) if verdict["word"] in ("better", "worse") else "open"


def credit(verdict: Mapping[str, Any]) -> str:
    """To whom a verdict gives the credit; empty where nothing is better."""
    return _CREDITS.get(str(verdict.get("credit") or ""), "") if verdict.get("word") == "better" else ""


def interval(verdict: Mapping[str, Any]) -> list[str] | None:
    """Both bounds, in the unit of the difference."""
    metric, apart = str(verdict.get("metric") or ""), verdict.get("difference")
    return [numbers.difference(metric, bound, beside=apart) for bound in _bounds(verdict)] or None


def _between(verdict: Mapping[str, Any]) -> str:
    """`+0.23 to +0.63 pp`: both bounds, their unit once."""
    low, high = interval(verdict) or ("", "")
    unit = f"{numbers.GAP}pp"
    return f"{low.removesuffix(unit) if high.endswith(unit) else low} to {high}" if high else ""


def over(verdict: Mapping[str, Any]) -> str:
    """`over 5 seeds and 10,000 test examples`, as far as it is known."""
    counts = ((verdict.get("seeds"), "seed"), (verdict.get("examples"), "test example"))
    told = [numbers.counted(int(found), noun) for count, noun in counts if (found := number(count))]
    return f"over {' and '.join(told)}" if told else ""


def smallest(verdict: Mapping[str, Any]) -> str:
    """The smallest difference that could have been shown, without a sign; empty where it is unknown."""
    found = number(verdict.get("smallest_effect"))
    if found is None:
        return ""
    apart = verdict.get("difference")
    return numbers.difference(str(verdict.get("metric") or ""), abs(found), beside=apart).lstrip("+")


def _bounds(verdict: Mapping[str, Any]) -> list[float]:
    found = [bound for bound in map(number, sequence(verdict.get("interval"))) if bound is not None]
    return sorted(found) if len(found) == 2 else []


def _level(value: Any) -> str:
    """A confidence with its decimals: of comparisons that share an error it is 97.5 %, say."""
    found = number(value)
    return "" if found is None else f"{100 * found:.4g}{numbers.GAP}%"


def _p_value(value: Any) -> str:
    found = number(value)
    if found is None:
        return ""
    return "p < 0.001" if found < 0.001 else f"p = {found:.2g}"


def _luck(verdict: Mapping[str, Any]) -> dict[str, Any] | None:
    """The shares of the interval's variance, in percent; None unless both are known."""
    shares = [number(verdict.get(f"share_of_{part}")) for part in ("seeds", "test_set")]
    known = [max(share, 0.0) for share in shares if share is not None]
    if len(known) < 2 or not sum(known):
        return None
    seeds = round(100 * known[0] / sum(known))
    return {"seeds": seeds, "test_set": 100 - seeds}


def _bar(apart: float, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Where the difference and its interval lie on a line whose middle is zero, in percent of its width."""
    bounds = _bounds(verdict)
    reach = 1.2 * max(map(abs, [apart, *bounds])) or 1.0
    spots = [round(50 + 50 * value / reach, 2) for value in [apart, *bounds]]
    return {
        "point": spots[0],
        "low": spots[1] if bounds else None,
        "width": round(spots[2] - spots[1], 2) if bounds else None,
        "sides": _sides(apart, verdict),
    }


def _sides(apart: float, verdict: Mapping[str, Any]) -> Sequence[str]:
    """Who is better to the left of zero, and who to the right."""
    decided = {"better": apart > 0, "worse": apart < 0}.get(str(verdict["word"])) if apart else None
    by_name = not numbers.lower_is_better(str(verdict.get("metric") or ""))
    sides = [f"{verdict.get(part) or other} better" for part, other in (("against", "other"), ("of", "this"))]
    return sides if (by_name if decided is None else decided) else sides[::-1]
