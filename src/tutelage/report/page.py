"""One self-contained HTML page for a run: the verdict first, then everything it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from tutelage.errors import OutputError
from tutelage.report import charts, numbers
from tutelage.report.numbers import mapping, mean, number, sequence
from tutelage.report.rows import arms, comparison, expected
from tutelage.report.trade_off import trade_off

__all__ = ["REPORT_NAME", "render", "write"]

REPORT_NAME = "report.html"
"""What the page is called inside a run's folder."""

_HERE = Path(__file__).parent
_HEADLINES = {
    "better": "Better than its control",
    "worse": "Worse than its control",
    "not shown": "Not shown to be better",
}
_MAIN_ARMS = ("teacher", "control", "student")
_CLASSES_ON_A_MAP = 30
_PAIRS_IN_A_TABLE = 15


def render(results: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """The whole page as a string; what is missing leaves its section out.

    Args:
        results: what a run measured, as `tutelage run --json` prints it.
        details: what only the page shows: curves, bins, confusion, recipe and environment.
    """
    return _template().render(**_top(results), **_measured(results), **_looks(results, details))


def write(results: Mapping[str, Any], details: Mapping[str, Any], path: Path | str) -> Path:
    """Render the page into a file, whose folder must exist.

    Args:
        results: as for `render`.
        details: as for `render`.
        path: the file to write; an older one is replaced.

    Raises:
        OutputError: the file cannot be written.
    """
    page = render(results, details).encode("utf-8", errors="replace")
    try:
        Path(path).write_bytes(page)
    except OSError as error:
        raise OutputError(f"cannot write the report to {str(path)!r}: {error.strerror}") from error
    return Path(path)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    environment.globals["style"] = Markup(style)  # noqa: S704 - a file of this package
    return environment.get_template("page.html")


def _top(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "recipe": str(results.get("recipe") or "A run"),
        "out": str(results.get("out") or ""),
        "seeds": [str(seed) for seed in sequence(results.get("seeds"))],
        "verdict": _verdict(mapping(results.get("verdict"))),
        "warnings": [str(said) for said in sequence(results.get("warnings"))],
        "facts": _facts(results),
    }


def _verdict(said: Mapping[str, Any]) -> dict[str, Any] | None:
    if not said.get("word"):
        return None
    word, metric = str(said["word"]), str(said.get("metric") or "")
    bounds = [found for found in map(number, sequence(said.get("interval"))) if found is not None]
    apart = number(said.get("difference"))
    return {
        "tone": word if word in {"better", "worse"} else "open",
        "headline": _HEADLINES.get(word, word[:1].upper() + word[1:]),
        "why": str(said.get("why") or ""),
        "metric": numbers.in_text(metric),
        "difference": None if apart is None else numbers.difference(metric, apart),
        "interval": [numbers.difference(metric, bound, beside=apart) for bound in bounds]
        if len(bounds) == 2
        else None,
        "level": numbers.percent(said.get("level")),
        "bar": None if apart is None else _bar(apart, bounds if len(bounds) == 2 else [], word, metric),
        "uncontrolled": [str(each) for each in sequence(said.get("uncontrolled"))],
        "advice": [str(each) for each in sequence(said.get("advice"))],
    }


def _bar(apart: float, bounds: Sequence[float], word: str, metric: str) -> dict[str, Any]:
    """Where the difference and its interval lie on a line whose middle is zero, in percent of its width."""
    reach = 1.2 * max(map(abs, [apart, *bounds])) or 1.0
    spots = [round(50 + 50 * value / reach, 2) for value in [apart, *sorted(bounds)]]
    decided = {"better": apart > 0, "worse": apart < 0}.get(word) if apart else None
    right_is_better = not numbers.lower_is_better(metric) if decided is None else decided
    sides = ("control better", "student better")
    return {
        "point": spots[0],
        "low": spots[1] if bounds else None,
        "width": round(spots[2] - spots[1], 2) if bounds else None,
        "sides": sides if right_is_better else sides[::-1],
    }


def _facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The four numbers that a reader takes home."""
    found = arms(results)
    quality = mapping(found["student"].get("quality"))
    metric = _metric(results)
    costs = [mapping(found[name].get("cost")) for name in ("teacher", "student")]
    sizes = [cost.get("bytes") for cost in costs]
    batch = _batch(found)
    times = [mapping(mapping(cost.get("latency_ms")).get(batch)).get("p50") for cost in costs]
    facts = [
        (numbers.measure(metric, mean(quality.get(metric))), f"student {numbers.in_text(metric)}"),
        (numbers.ratio(sizes[0], sizes[1], ("smaller", "larger")), "weights, against the teacher"),
        (numbers.ratio(times[0], times[1], ("faster", "slower")), f"against the teacher, batch of {batch}"),
        (numbers.percent(results.get("gap_closed")), "of the gap from control to teacher closed"),
    ]
    return [fact for fact in facts if fact[0] != numbers.DASH]


def _metric(results: Mapping[str, Any]) -> str:
    """The metric of the verdict if the student has it, else the student's first."""
    quality = mapping(mapping(results.get("student")).get("quality"))
    chosen = str(mapping(results.get("verdict")).get("metric") or "")
    return chosen if chosen in quality or not quality else next(iter(quality))


def _batch(found: Mapping[str, Mapping[str, Any]]) -> str:
    timed = mapping(mapping(found["student"].get("cost")).get("latency_ms"))
    return "1" if "1" in timed or not timed else str(next(iter(timed)))


def _measured(results: Mapping[str, Any]) -> dict[str, Any]:
    fidelity = mapping(results.get("fidelity"))
    measures = [
        (numbers.label(metric), numbers.measure(metric, mean(value)), numbers.spread(metric, value))
        for metric, value in fidelity.items()
    ]
    return {
        "arms": list(arms(results)),
        "rows": comparison(results),
        "expected": expected(results),
        "measures": [each for each in measures if each[1] != numbers.DASH],
    }


def _looks(results: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    runs = mapping(details.get("curves"))
    trained = {name: runs[name] for name in ("control", "student") if name in runs}
    bins = mapping(details.get("calibration_curves"))
    calibration = {
        name: charts.reliability(name, sequence(bins.get(name))) for name in list(arms(results))[:3]
    }
    environment = mapping(details.get("environment"))
    return {
        "curves": _svg(charts.curves(trained, _curve_metric(results, trained))),
        "losses": _svg(charts.losses(sequence(runs.get("student")))),
        "agreement": _svg(charts.fidelity(sequence(details.get("fidelity_bins")))),
        "reliability": [
            (name, _ece(results, name), _svg(chart)) for name, chart in calibration.items() if chart
        ],
        "trade_off": _svg(trade_off(arms(results), _metric(results), _batch(arms(results)))),
        "fewer_is_better": numbers.lower_is_better(_metric(results)),
        **_confusion(details),
        "recipe_yaml": str(details.get("recipe_yaml") or ""),
        "environment": [(str(part), _flat(value)) for part, value in environment.items() if value],
    }


def _svg(chart: str | None) -> Markup | None:
    """A chart is markup already: its text was escaped when its tree was written."""
    return None if chart is None else Markup(chart)  # noqa: S704


def _curve_metric(results: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    seen = [
        name
        for runs in trained.values()
        for run in sequence(runs)
        for point in sequence(mapping(run).get("points"))
        for name in mapping(mapping(point).get("validation"))
    ]
    metric = _metric(results)
    return metric if metric in seen or not seen else str(seen[0])


def _ece(results: Mapping[str, Any], name: str) -> str:
    calibration = mapping(mapping(results.get(name)).get("calibration"))
    return numbers.measure("ece", mean(calibration.get("ece")))


def _confusion(details: Mapping[str, Any]) -> dict[str, Any]:
    counts = [[number(value) or 0 for value in sequence(row)] for row in sequence(details.get("confusion"))]
    given = [str(name) for name in sequence(details.get("class_names"))]
    names = given + [str(index) for index in range(len(given), len(counts))]
    square = bool(counts) and all(len(row) == len(counts) for row in counts)
    drawn = square and len(counts) <= _CLASSES_ON_A_MAP
    return {
        "confusion": _svg(charts.confusion(counts, names[: len(counts)])) if drawn else None,
        "pairs": _pairs(counts, names) if square else [],
    }


def _pairs(counts: Sequence[Sequence[float]], names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The pairs of classes that student and teacher most often name apart."""
    apart = [
        (value, row, column)
        for row, line in enumerate(counts)
        for column, value in enumerate(line)
        if row != column and value
    ]
    worst = sorted(apart, key=lambda each: (-each[0], each[1:]))[:_PAIRS_IN_A_TABLE]
    return [(names[row], names[column], f"{value:,.0f}") for value, row, column in worst]


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as lines of dotted names; a bare value is a line without a name."""
    if isinstance(value, Mapping):
        named = {f"{prefix}.{key}" if prefix else str(key): item for key, item in value.items()}
        return [line for name, item in named.items() for line in _flat(item, name)]
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return [(prefix, numbers.DASH if value is None else text)]
