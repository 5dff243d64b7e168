"""One self-contained page of a tuning: what was chosen, the trials, what each knob mattered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tutelage.report import numbers
from tutelage.report.page import page_template
from tutelage.report.svg import COLOURS, clean, draw, frame

__all__ = ["render", "short_names"]

_HERE = Path(__file__).parent
_COLOURS = {"student": "primary", "control": "against"}
_MOST = 12
"""Knobs that are drawn one by one."""


def render(told: Mapping[str, Any]) -> str:
    """The page as a string.

    Args:
        told: what `trials.json` holds.
    """
    sides = [_side(name, held, told) for name, held in told["sides"].items()]
    tuned = [each for each in sides if not each["said"]]
    return page_template(_HERE / "page.html").render(
        name=told["name"],
        metric=numbers.in_text(told["metric"]),
        sides=sides,
        facts=[
            *((f"trials of the {each['name']}", str(len(each["trials"]))) for each in sides),
            *((f"trials of the {each['name']} took", each["seconds"]) for each in tuned),
            *(
                [("the teacher’s training", numbers.duration(told["teacher_seconds"]))]
                * bool(told["teacher_seconds"])
            ),
        ],
    )


def _side(name: str, held: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    metric, keys = told["metric"], list(held["search"])
    short = short_names(keys)
    colour = COLOURS[_COLOURS.get(name, "primary")]
    found = {
        "name": name,
        "title": f"The {name}: {numbers.counted(len(held['trials']), 'trial')}",
        "said": held.get("said", ""),
        "value": numbers.measure(metric, held["value"]),
        "seconds": numbers.duration(held["seconds"]),
        "trials": [_row(trial, keys, metric) for trial in held["trials"]],
        "knobs": [short[key] for key in keys],
    }
    if found["said"]:
        return found
    best = told["higher_is_better"]
    return (
        found
        | {
            "seeds": len(held["seeds"]),
            "finalists": [_finalist(one, keys, metric, held["chosen"]) for one in held["finalists"]],
            "history": Markup(_history(name, held["trials"], metric, colour, best=best)),  # noqa: S704 - our own SVG
            "importance": Markup(_importance(name, held["importance"], short, colour)),  # noqa: S704
            "slices": [
                Markup(_slice(f"{name}-{number}", key, short[key], held["trials"], metric, colour))  # noqa: S704
                for number, key in enumerate(keys[:_MOST])
            ],
        }
    )


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Keys by the fewest of their last parts that tell them apart.

    Example:
        >>> short_names(["stages.0.lr", "matches.0.weight", "matches.1.weight"])
        {'stages.0.lr': 'lr', 'matches.0.weight': '0.weight', 'matches.1.weight': '1.weight'}
    """
    found = {}
    for key in keys:
        parts = key.split(".")
        ends = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        found[key] = next(end for end in ends if sum(_ends(other, end) for other in keys) == 1)
    return found


def _ends(key: str, end: str) -> bool:
    return key == end or key.endswith(f".{end}")


def _row(trial: Mapping[str, Any], keys: Sequence[str], metric: str) -> dict[str, Any]:
    how = {"complete": "trained to the end", "pruned": "broken off: behind the others", "fail": "failed"}
    state = how.get(trial["state"], trial["state"])
    return {
        "number": trial["number"],
        "settings": [_text(trial["values"][key]) for key in keys],
        "value": numbers.measure(metric, trial["value"]),
        "state": f"{state}: {trial['why']}" if trial["why"] else state,
        "seconds": f"{trial['seconds']:.1f}",
    }


def _finalist(one: Mapping[str, Any], keys: Sequence[str], metric: str, chosen: Any) -> dict[str, Any]:
    return {
        "number": one["trial"],
        "settings": [_text(one["values"][key]) for key in keys],
        "mean": numbers.measure(metric, one["mean"]),
        "scores": ", ".join(numbers.measure(metric, each) for each in one["scores"]),
        "chosen": one["values"] == chosen,
    }


def _text(value: Any) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    )


def _history(name: str, trials: Sequence[Any], metric: str, colour: str, *, best: bool) -> str:
    ended = [(one["number"], one["value"]) for one in trials if one["value"] is not None]
    broken = [
        (one["number"], one["last"]) for one in trials if one["state"] == "pruned" and one["last"] is not None
    ]

    def paint(axes: Any) -> None:
        if broken:
            axes.scatter(*zip(*broken, strict=True), s=22, facecolors="none", edgecolors=COLOURS["muted"])
        if ended:
            axes.scatter(*zip(*ended, strict=True), s=22, color=colour)
            line, so_far = [], ended[0][1]
            for number, value in ended:
                so_far = max(so_far, value) if best else min(so_far, value)
                line.append((number, so_far))
            axes.step(*zip(*line, strict=True), where="post", color=colour, linewidth=1.5, alpha=0.6)
        frame(axes, "trial", numbers.in_text(metric), metric)

    return draw(f"{name}-history", f"{numbers.label(metric)} of each trial of the {name}", paint)


def _importance(name: str, shares: Mapping[str, float], short: Mapping[str, str], colour: str) -> str:
    if not shares:
        return ""
    pairs = sorted(((value, clean(short.get(key, key), 30)) for key, value in shares.items()))[-_MOST:]

    def paint(axes: Any) -> None:
        axes.barh([label for _, label in pairs], [value for value, _ in pairs], color=colour, alpha=0.6)
        axes.set_xlim(0, 1)
        axes.grid(visible=False, axis="y")
        frame(axes, "share of the variance", "")

    title = f"What each knob of the {name} mattered: " + ", ".join(
        f"{label} {value:.2f}" for value, label in pairs
    )
    return draw(f"{name}-importance", title, paint, inches=(5, 0.9 + 0.4 * max(2, len(pairs))))


def _slice(place: str, key: str, label: str, trials: Sequence[Any], metric: str, colour: str) -> str:
    pairs = [(one["values"][key], one["value"]) for one in trials if one["value"] is not None]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in pairs)
    values = [value for value, _ in pairs]
    wide = numeric and values and min(values) > 0 and max(values) / min(values) > 20

    def paint(axes: Any) -> None:
        shown = values if numeric else [clean(_text(value), 18) for value in values]
        axes.scatter(shown, [score for _, score in pairs], s=20, color=colour, alpha=0.7)
        if wide:
            axes.set_xscale("log")
        frame(axes, label, numbers.in_text(metric), metric)

    return draw(place, f"{numbers.label(metric)} by {clean(label, 60)}", paint, inches=(3.4, 2.7))
