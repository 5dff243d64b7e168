"""The charts of the page. Each takes plain data and returns an `<svg>` element, or None without data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from tutelage.report import numbers
from tutelage.report.numbers import mapping, number, sequence
from tutelage.report.roles import the
from tutelage.report.svg import COLOURS, clean, draw, frame

__all__ = ["confusion", "curves", "fidelity", "losses", "reliability", "shows_seeds"]

Line = list[tuple[float, float]]
_TERM_COLOURS = ("ink", "primary", "teacher", "also-1", "also-2", "also-3", "against")
_DASHES = {"against": (4, 2), "teacher": (1, 1.5)}
_MOST_WITH_SEEDS = 3


def curves(arms: Mapping[str, Any], metric: str, colours: Mapping[str, str]) -> str | None:
    """Validation by step: a thin line for each seed of few arms, a thick one for their mean.

    Args:
        arms: by arm, its seeds, each with `points`.
        metric: what to read from a point's `validation`.
        colours: by arm, its name in `COLOURS`; one that comes back is dashed.
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
            for line in seeds if len(seeds) > 1 and shows_seeds(lines) else ():
                axes.plot(*zip(*line, strict=True), color=colour, alpha=0.35, linewidth=1)
            line = _mean_line(seeds)
            marker = "o" if len(line) == 1 else None
            axes.plot(*zip(*line, strict=True), color=colour, label=clean(name), marker=marker, **style)
        axes.set_ylim(*_window([y for seeds in lines.values() for line in seeds for _, y in line], metric))
        frame(axes, "step", numbers.in_text(metric), metric)
        _count_steps(axes)
        axes.legend(loc="best")

    return draw("curves", f"{numbers.label(metric)} on the validation set by step, {_and(lines)}", paint)


def shows_seeds(arms: Mapping[str, Any]) -> bool:
    """Whether the arms are few enough to tell the lines of their seeds apart."""
    return len(arms) <= _MOST_WITH_SEEDS


def losses(name: str, runs: Sequence[Any]) -> str | None:
    """The training loss of an arm's first seed, and each term that it is the sum of.

    Args:
        name: the arm.
        runs: its seeds, each with `points`.
    """
    points = _points(runs[0]) if runs else []
    names = ["sum", *dict.fromkeys(name for point in points for name in mapping(point.get("terms")))]
    read = {"sum": [(point, point.get("loss")) for point in points]}
    read |= {name: [(point, mapping(point.get("terms")).get(name)) for point in points] for name in names[1:]}
    terms = {name: line for name, pairs in read.items() if (line := _line(pairs))}
    if not any(len(line) > 1 for line in terms.values()):
        return None

    def paint(axes: Any) -> None:
        for index, (name, line) in enumerate(terms.items()):
            colour, wide = COLOURS[_TERM_COLOURS[index % len(_TERM_COLOURS)]], 1.5 if index else 2.2
            label = clean(name).lstrip("_")
            axes.plot(*zip(*line, strict=True), color=colour, label=label, linewidth=wide)
        frame(axes, "step", "training loss")
        _count_steps(axes)
        axes.legend(loc="upper right")

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
                text = _short(count)
                axes.annotate(text, top, (0, 3), textcoords="offset points", ha="center", fontsize=10)
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
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[0, 0.25, 0.5, 0.75, 1])
        frame(axes, "confidence", "accuracy", "accuracy")

    title = f"Reliability of {clean(the(name))}: accuracy against confidence"
    return draw(place, title, paint, inches=(3.9, 3.4))


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
                if value and len(counts) <= 12:
                    text = _short(value)
                    axes.text(column + 0.5, row + 0.52, text, ha="center", va="center", fontsize=9)
        middles, wide = [index + 0.5 for index in range(len(counts))], max(map(len, short), default=0) > 2
        size = 10 if len(counts) <= 12 else 7
        axes.set_xticks(middles, short, rotation=90 if wide else 0, fontsize=size)
        axes.set_yticks(middles, short, fontsize=size)
        axes.set(xlim=(0, len(counts)), ylim=(len(counts), 0), xlabel=clean(outcome), ylabel="teacher")
        axes.grid(visible=False)
        axes.tick_params(length=0)

    title = f"What the teacher said against what {clean(the(outcome))} said"
    return draw("confusion", title, paint, inches=(5, 4.6))


def _dashes(colour: str, used: Sequence[str]) -> dict[str, Any]:
    """How a line differs from those of its colour that were drawn before it."""
    dash = _DASHES.get(colour) or (None, (5, 1.5), (1, 1), (7, 2, 1, 2))[min(used.count(colour), 3)]
    return {} if dash is None else {"dashes": dash}


def _seed_lines(runs: Any, metric: str) -> list[Line]:
    lines = []
    for run in map(mapping, sequence(runs)):
        read = [(point, mapping(point.get("validation")).get(metric)) for point in _points(run)]
        if line := _line(read):
            lines.append(line)
    return lines


def _points(run: Any) -> list[Mapping[str, Any]]:
    return [mapping(point) for point in sequence(mapping(run).get("points"))]


def _line(read: Iterable[tuple[Mapping[str, Any], Any]]) -> Line:
    """Points by step, leaving out those without a value."""
    pairs = ((number(point.get("step")), number(value)) for point, value in read)
    return [(step, value) for step, value in pairs if step is not None and value is not None]


def _count_steps(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(count: float) -> str:
    return numbers.amount(count).replace(numbers.GAP, "")


def _mean_line(lines: Iterable[Line]) -> Line:
    at: dict[float, list[float]] = defaultdict(list)
    for line in lines:
        for x, y in line:
            at[x].append(y)
    return [(x, fmean(at[x])) for x in sorted(at)]


def _window(values: Sequence[float], metric: str) -> tuple[float, float]:
    """Limits that leave the first steps outside where they would flatten all the rest."""
    low, high, middle = min(values), max(values), median(values)
    if numbers.lower_is_better(metric):
        high = min(high, middle + 5 * (middle - low)) if middle > low else high
    elif high > middle:
        low = max(low, middle - 5 * (high - middle))
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
