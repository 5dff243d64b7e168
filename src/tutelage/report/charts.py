"""The charts of the page. Each takes plain data and returns an `<svg>` element, or None without data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from tutelage.report import numbers
from tutelage.report.lines import Line, joined_means, points_of, stages_of
from tutelage.report.numbers import mapping, number, sequence
from tutelage.report.roles import the
from tutelage.report.svg import COLOURS, HALF, clean, draw, frame, legend

__all__ = ["confusion", "curves", "fidelity", "losses", "reliability", "shows_seeds"]

_TERM_COLOURS = ("ink", "primary", "teacher", "also-1", "also-2", "also-3", "against")
_DASHES = {"against": (4, 2), "teacher": (1, 1.5)}
_MOST_WITH_SEEDS = 3
_QUARTER = (2.4, 2.3)
"""Inches of a chart of which four stand side by side, and two on a phone."""
_CLASSES_WITH_COUNTS = 12


def curves(
    arms: Mapping[str, Any],
    metric: str,
    colours: Mapping[str, str],
    *,
    teacher: tuple[str, float] | None = None,
) -> str | None:
    """Validation by step: a thin line for each seed of few arms, a thick one for their mean.

    Args:
        arms: by arm, its seeds, each with `points`; one that is `failed` counts for no mean.
        metric: what to read from a point's `validation`.
        colours: by arm, its name in `COLOURS`; one that comes back is dashed.
        teacher: what to call the line of the teacher, who does not learn here, and its value.
    """
    lines = {name: _seed_lines(runs, metric) for name, runs in arms.items()}
    lines = {name: found for name, found in lines.items() if found}
    if not lines:
        return None

    def paint(axes: Any) -> None:
        used: list[str] = []
        for name, seeds in lines.items():
            style, colour = _dashes(colours[name], used), COLOURS[colours[name]]
            used.append(colours[name])
            if len(seeds) > 1 and shows_seeds(lines):
                _plot(axes, [line for _, stages in seeds for line in stages.values()], colour, 1, alpha=0.35)
            ended = [stages for failed, stages in seeds if not failed] or [stages for _, stages in seeds]
            _plot(axes, joined_means(ended), colour, 2, label=clean(name), **style)
        if teacher is not None:
            axes.axhline(
                teacher[1], color=COLOURS["teacher"], label=clean(teacher[0]), **_dashes("teacher", ())
            )
        values = [y for seeds in lines.values() for _, own in seeds for line in own.values() for _, y in line]
        axes.set_ylim(*_window(values, metric, [] if teacher is None else [teacher[1]]))
        frame(axes, "step", numbers.in_text(metric), metric)
        _count_steps(axes)
        legend(axes)

    shown = [*lines, *([] if teacher is None else [teacher[0]])]
    return draw("curves", f"{numbers.label(metric)} on the validation set by step, {_and(shown)}", paint)


def shows_seeds(arms: Mapping[str, Any]) -> bool:
    """Whether the arms are few enough to tell the lines of their seeds apart."""
    return len(arms) <= _MOST_WITH_SEEDS


def losses(name: str, runs: Sequence[Any]) -> str | None:
    """The training loss of an arm's first seed, and each term that it is the sum of.

    Args:
        name: the arm.
        runs: its seeds, each with `points`.
    """
    run = runs[0] if runs else {}
    names = list(dict.fromkeys(name for point in points_of(run) for name in mapping(point.get("terms"))))
    read = {name: _term(run, name) for name in names}
    if len({name.rpartition("/")[0] for name in names}) == 1:  # all are terms of one network
        read = {name.rpartition("/")[2]: stages for name, stages in read.items()}
    if len(names) != 1:  # else they are one line
        read = {"sum": stages_of(run, lambda point: point.get("loss"))} | read
    terms = {name: list(stages.values()) for name, stages in read.items() if stages}
    if not any(len(line) > 1 for stages in terms.values() for line in stages):
        return None

    def paint(axes: Any) -> None:
        for index, (name, stages) in enumerate(terms.items()):
            colour, wide = COLOURS[_TERM_COLOURS[index % len(_TERM_COLOURS)]], 1.5 if index else 2.2
            _plot(axes, stages, colour, wide, label=clean(name).lstrip("_") or "term")
        frame(axes, "step", "training loss")
        _count_steps(axes)
        legend(axes)

    return draw("losses", f"Training loss of {clean(the(name))} and its terms: {_and(terms)}", paint)


def fidelity(name: str, bins: Sequence[Any]) -> str | None:
    """How often an outcome and the teacher agree, by how sure the teacher is.

    Args:
        name: the outcome.
        bins: `{"low", "high", "count", "agreement"}`, by the teacher's confidence.
    """
    kept = [each for each in map(mapping, bins) if _has(each, "low", "high", "agreement")]
    if not kept:
        return None

    def paint(axes: Any) -> None:
        for each in kept:
            _bar(axes, each, each["agreement"], COLOURS["primary"], alpha=0.45)
            if (count := number(each.get("count"))) is not None:
                top = ((each["low"] + each["high"]) / 2, each["agreement"])
                text = _rounded(count)
                axes.annotate(text, top, (0, 3), textcoords="offset points", ha="center")
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        frame(axes, "teacher's confidence", "agreement", "agreement")

    return draw("fidelity", f"Agreement of {clean(name)} and teacher by the teacher's confidence", paint)


def reliability(place: str, name: str, bins: Sequence[Any], colour: str) -> str | None:
    """Accuracy against confidence of one column; perfect calibration is the diagonal.

    Args:
        place: what the chart is called on the page, without spaces.
        name: the column.
        bins: `{"low", "high", "count", "accuracy", "confidence"}`, by confidence.
        colour: its name in `COLOURS`.
    """
    kept = [each for each in map(mapping, bins) if _has(each, "low", "high", "accuracy", "confidence")]
    kept = [each for each in kept if each.get("count", 1)]
    if not kept:
        return None
    most = max(number(each.get("count")) or 1 for each in kept)

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, dashes=(3, 2))
        for each in kept:
            _bar(axes, each, each["accuracy"], COLOURS[colour], alpha=0.28)
            area = 14 + 90 * (number(each.get("count")) or 1) / most
            spot = ([each["confidence"]], [each["accuracy"]])
            axes.scatter(*spot, s=area, color=COLOURS[colour], clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        frame(axes, "confidence", "accuracy", "accuracy")

    title = f"Reliability of {clean(the(name))}: accuracy against confidence"
    return draw(place, title, paint, inches=_QUARTER)


def confusion(counts: Sequence[Sequence[float]], names: Sequence[str], outcome: str) -> str:
    """What the teacher said (rows) and an outcome said instead (columns), shaded where they differ."""
    apart = [value for row, line in enumerate(counts) for column, value in enumerate(line) if row != column]
    most = max(apart, default=0) or 1
    short = [clean(name, 12) for name in names]

    def paint(axes: Any) -> None:
        from matplotlib.patches import Rectangle

        for row, line in enumerate(counts):
            for column, value in enumerate(line):
                colour = COLOURS["muted"] if row == column else COLOURS["primary"]
                shade = 0.14 if row == column else 0.1 + 0.6 * value / most
                if value:
                    axes.add_patch(Rectangle((column, row), 1, 1, color=colour, alpha=shade, linewidth=0))
                if value and len(counts) <= _CLASSES_WITH_COUNTS:
                    text = _rounded(value)
                    axes.text(column + 0.5, row + 0.52, text, ha="center", va="center")
        middles, wide = [index + 0.5 for index in range(len(counts))], max(map(len, short), default=0) > 2
        axes.set_xticks(middles, short, rotation=90 if wide else 0)
        axes.set_yticks(middles, short)
        axes.set(xlim=(0, len(counts)), ylim=(len(counts), 0), xlabel=clean(outcome), ylabel="teacher")
        axes.grid(visible=False)
        axes.tick_params(length=0)

    title = f"What the teacher said against what {clean(the(outcome))} said"
    side = max(HALF[0], 1.3 + 0.2 * len(counts))
    return draw("confusion", title, paint, inches=(side, 0.93 * side))


def _dashes(colour: str, used: Sequence[str]) -> dict[str, Any]:
    """How a line differs from those of its colour that were drawn before it."""
    dash = _DASHES.get(colour) or (None, (5, 1.5), (1, 1), (7, 2, 1, 2))[min(used.count(colour), 3)]
    return {} if dash is None else {"dashes": dash}


def _plot(
    axes: Any, lines: Iterable[Line], colour: str, wide: float, *, label: str = "", **style: Any
) -> None:
    """Lines that are one, with gaps between them; a single point is a dot."""
    for line in lines:
        marker = "o" if len(line) == 1 else None
        axes.plot(*zip(*line, strict=True), color=colour, linewidth=wide, marker=marker, **style)
    if label:
        axes.plot([], [], color=colour, linewidth=wide, label=label, **style)


def _term(run: Any, name: str) -> dict[int, Line]:
    return stages_of(run, lambda point: mapping(point.get("terms")).get(name))


def _seed_lines(runs: Any, metric: str) -> list[tuple[bool, dict[int, Line]]]:
    """Of each seed whether it failed, and its lines by stage."""
    found = []
    for run in map(mapping, sequence(runs)):
        stages = stages_of(run, lambda point: mapping(point.get("validation")).get(metric))
        if stages:
            found.append((bool(run.get("failed")), stages))
    return found


def _count_steps(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _rounded(count: float) -> str:
    """A count in four letters at most."""
    return f"{count:.0f}" if count < 999.5 else _short(float(f"{count:.2g}"))


def _short(count: float) -> str:
    return numbers.amount(count).replace(numbers.GAP, "")


def _window(values: Sequence[float], metric: str, also: Sequence[float] = ()) -> tuple[float, float]:
    """Limits that leave the first steps outside where they would flatten all the rest, and hold `also`."""
    low, high, middle = min(values), max(values), median(values)
    if numbers.lower_is_better(metric):
        high = min(high, middle + 5 * (middle - low)) if middle > low else high
    elif high > middle:
        low = max(low, middle - 5 * (high - middle))
    low, high = min([low, *also]), max([high, *also])
    margin = 0.06 * (high - low) or 0.01 * abs(high) or 0.01
    return low - margin, high + margin


def _bar(axes: Any, each: Mapping[str, Any], height: float, colour: str, alpha: float) -> None:
    low, wide = each["low"], each["high"] - each["low"]
    axes.bar(
        low + 0.06 * wide, height, width=0.88 * wide, align="edge", color=colour, alpha=alpha, linewidth=0
    )


def _has(each: Mapping[str, Any], *keys: str) -> bool:
    return all(number(each.get(key)) is not None for key in keys)


def _and(names: Iterable[str]) -> str:
    return ", ".join(clean(name) for name in names)
