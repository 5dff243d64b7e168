"""The comparison of the arms, row by row: what the page's table and the terminal's both show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.report import numbers
from tutelage.report.numbers import DASH, mapping, mean, number

__all__ = ["Cell", "Row", "arms", "comparison", "expected"]

Arms = Mapping[str, Mapping[str, Any]]
_COSTS: tuple[tuple[str, str, str, Callable[[Any], str], tuple[str, str]], ...] = (
    ("Size", "parameters", "Parameters", numbers.amount, ("fewer", "more")),
    ("Size", "bytes", "Weights", numbers.size, ("smaller", "larger")),
    ("Size", "flops", "FLOPs an example", numbers.amount, ("fewer", "more")),
)
_MORE_COSTS: tuple[tuple[str, str, str, Callable[[Any], str], tuple[str, str]], ...] = (
    ("Memory", "peak_memory_bytes", "Peak memory", numbers.size, ("less", "more")),
    (
        "Energy",
        "energy_joules",
        "Energy an example",
        lambda value: numbers.amount(value, "J"),
        ("less", "more"),
    ),
    ("Training", "train_seconds", "Training time", numbers.duration, ("shorter", "longer")),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of one arm, with a small note under it: the spread, or the slow end."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison; `cells` follow `arms`, `against` sets the student against the teacher."""

    group: str
    label: str
    cells: tuple[Cell, ...]
    against: str = DASH


def arms(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Teacher, control, student and the further arms, in this order; a missing arm is empty."""
    named = {name: mapping(results.get(name)) for name in ("teacher", "control", "student")}
    for name, arm in mapping(results.get("also")).items():
        named[f"{name} (also)" if name in named else str(name)] = mapping(arm)
    return named


def comparison(results: Mapping[str, Any]) -> list[Row]:
    """All rows that at least one arm has something to say in."""
    found = arms(results)
    rows = [*_measured(found, "Quality", "quality"), *_costs(found, _COSTS), *_latencies(found)]
    shown = {row.label for row in rows}  # of a language model the log loss is its quality
    calibration = [row for row in _measured(found, "Calibration", "calibration") if row.label not in shown]
    rows += [*_costs(found, _MORE_COSTS), *calibration]
    rows += _measured(found, "Conflict between teachers", "conflict")
    rows += _verdicts(found, mapping(results.get("verdict")))
    return [row for row in rows if any(cell.text != DASH for cell in row.cells)]


def expected(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """The published number of each metric beside the recorded one and that of this run."""
    student = mapping(results.get("student"))
    ours = {**mapping(student.get("calibration")), **mapping(student.get("quality"))}
    lines = []
    for metric, said in mapping(results.get("expected")).items():
        record = said if isinstance(said, Mapping) else {"paper": said}
        rest = [name for name in record if name not in {"paper", "ours", "source"}]
        more = [f"{name} {record[name]}" for name in rest]
        line = {name: numbers.measure(metric, record.get(name)) for name in ("paper", "ours")}
        line["run"] = numbers.measure(metric, mean(ours.get(metric)))
        source = [str(record["source"])] if record.get("source") else []
        lines.append({"metric": numbers.label(metric), "source": "; ".join([*source, *more]), **line})
    return lines


def _measured(found: Arms, group: str, part: str) -> Iterator[Row]:
    values = {name: mapping(arm.get(part)) for name, arm in found.items()}
    for metric in dict.fromkeys(metric for arm in values.values() for metric in arm):
        cells = [_metric_cell(metric, arm.get(metric)) for arm in values.values()]
        teacher, student = mean(values["teacher"].get(metric)), mean(values["student"].get(metric))
        apart = None if teacher is None or student is None else student - teacher
        yield Row(group, numbers.label(metric), tuple(cells), numbers.difference(metric, apart))


def _metric_cell(metric: str, value: Any) -> Cell:
    return Cell(numbers.measure(metric, mean(value)), numbers.spread(metric, value))


def _costs(found: Arms, costs: tuple[Any, ...]) -> Iterator[Row]:
    for group, key, title, text, words in costs:
        values = {name: mapping(arm.get("cost")).get(key) for name, arm in found.items()}
        cells = tuple(Cell(text(value)) for value in values.values())
        yield Row(group, title, cells, numbers.ratio(values["teacher"], values["student"], words))


def _latencies(found: Arms) -> Iterator[Row]:
    values = {name: mapping(mapping(arm.get("cost")).get("latency_ms")) for name, arm in found.items()}
    sizes = dict.fromkeys(size for arm in values.values() for size in arm)
    for batch in sorted(sizes, key=lambda size: (len(str(size)), str(size))):
        times = {name: mapping(arm.get(batch)) for name, arm in values.items()}
        cells = tuple(_latency_cell(time) for time in times.values())
        before, after = (times[name].get("p50") for name in ("teacher", "student"))
        against = numbers.ratio(before, after, ("faster", "slower"))
        yield Row("Latency", f"Latency, batch {batch}", cells, against)


def _latency_cell(time: Mapping[str, Any]) -> Cell:
    slow = "" if number(time.get("p95")) is None else f"p95 {numbers.measure('latency', time['p95'])}"
    return Cell(_milliseconds(time.get("p50")), slow)


def _milliseconds(value: Any) -> str:
    return DASH if number(value) is None else f"{numbers.measure('latency', value)}\u00a0ms"


def _verdicts(found: Arms, own: Mapping[str, Any]) -> Iterator[Row]:
    said = {name: own if name == "student" else mapping(arm.get("verdict")) for name, arm in found.items()}
    if len(found) > 3:
        yield Row("Verdict", "Against the control", tuple(_verdict_cell(each) for each in said.values()))


def _verdict_cell(said: Mapping[str, Any]) -> Cell:
    if not said.get("word"):
        return Cell(DASH)
    apart = numbers.difference(str(said.get("metric") or ""), said.get("difference"))
    return Cell(str(said["word"]), "" if apart == DASH else apart)
