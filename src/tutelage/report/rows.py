"""The comparison of the outcomes, row by row: what the page's table and the terminal's both show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tutelage.report import numbers, roles
from tutelage.report.numbers import DASH, mapping, mean, number, sequence
from tutelage.report.upgrade import upgraded

__all__ = ["NOT_STABLE", "Cell", "Row", "arms", "comparison", "expected", "latency_ratio"]

NOT_STABLE = "not\u00a0stable"
"""What stands in the place of a ratio of latencies that cannot be trusted."""

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
    ("Writing", "first_token_ms", "First token", lambda value: _milliseconds(value), ("faster", "slower")),
    ("Writing", "tokens_per_second", "Tokens a second", numbers.amount, ("fewer", "more")),
    ("Writing", "cache_bytes_per_token", "Cache for a token", numbers.size, ("smaller", "larger")),
    ("Training", "train_seconds", "Training time", numbers.duration, ("shorter", "longer")),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of one column, with a small note under it: the spread, or the slow end."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison.

    Args:
        group: rows of one group stand together.
        label: what was measured.
        cells: one for each of `arms`.
        against: the primary outcome beside the teacher.
        note: how it was measured, if that is the same in all cells.
        control: the primary outcome beside what it is held against.
    """

    group: str
    label: str
    cells: tuple[Cell, ...]
    against: str = DASH
    note: str = ""
    control: str = DASH


@dataclass(frozen=True, slots=True)
class _Columns:
    found: Arms
    primary: str
    control: str

    def part(self, name: str) -> Arms:
        """One part of each column's numbers."""
        return {column: mapping(entry.get(name)) for column, entry in self.found.items()}

    def beside(self, values: Mapping[str, Any], say: Callable[[Any, Any], str]) -> dict[str, str]:
        """The primary outcome beside the teacher, and beside what it is held against.

        Args:
            values: by column.
            say: (the other's value, the primary outcome's) -> text.
        """
        own = values.get(self.primary)
        return {
            "against": say(values.get(roles.TEACHER), own),
            "control": say(values.get(self.control), own),
        }


def arms(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The columns: the teacher, if there was one, then every outcome in order.

    Args:
        results: what a run measured, of any format that `upgraded` reads.
    """
    return roles.entries(upgraded(results))


def comparison(results: Mapping[str, Any]) -> list[Row]:
    """All rows that at least one column has something to say in.

    Args:
        results: what a run measured, of any format that `upgraded` reads.
    """
    results = upgraded(results)
    columns = _Columns(roles.entries(results), roles.primary(results), roles.against(results))
    rows = [*_seeds(columns, len(sequence(results.get("seeds")))), *_measured(columns, "Quality", "quality")]
    rows += [*_costs(columns, _COSTS), *_latencies(columns)]
    shown = {row.label for row in rows}  # of a language model the log loss is its quality
    calibration = [row for row in _measured(columns, "Calibration", "calibration") if row.label not in shown]
    rows += [*_costs(columns, _MORE_COSTS), *calibration]
    rows += _measured(columns, "Conflict between teachers", "conflict")
    return [row for row in rows if any(cell.text != DASH for cell in row.cells)]


def expected(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """The published number of each metric beside the recorded one and that of this run."""
    results = upgraded(results)
    own = roles.outcome(results)
    ours = {**mapping(own.get("calibration")), **mapping(own.get("quality"))}
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


def latency_ratio(teacher: Mapping[str, Any], outcome: Mapping[str, Any]) -> str:
    """How an outcome's median latency compares with the teacher's, unless one of the two was not stable.

    Args:
        teacher, outcome: `{"p50", "p95", "stable", …}` of one batch size; empty where nothing was measured.
    """
    found = numbers.ratio(teacher.get("p50"), outcome.get("p50"), ("faster", "slower"))
    return found if found == DASH or (_stable(teacher) and _stable(outcome)) else NOT_STABLE


def _seeds(columns: _Columns, count: int) -> Iterator[Row]:
    failed = {name: len(sequence(entry.get("failed_seeds"))) for name, entry in columns.found.items()}
    if not any(failed.values()):
        return
    cells = {name: Cell(str(count - lost), _failed(lost, count)) for name, lost in failed.items()}
    if roles.TEACHER in cells:
        cells[roles.TEACHER] = Cell(DASH)
    yield Row("Seeds", "Seeds", tuple(cells.values()))


def _failed(lost: int, count: int) -> str:
    return f"{lost} of {numbers.counted(count, 'seed')} failed" if lost else ""


def _measured(columns: _Columns, group: str, part: str) -> Iterator[Row]:
    values = columns.part(part)
    for metric in dict.fromkeys(metric for entry in values.values() for metric in entry):
        told = {name: entry.get(metric) for name, entry in values.items()}
        cells = tuple(_metric_cell(metric, value) for value in told.values())
        yield Row(group, numbers.label(metric), cells, **columns.beside(told, partial(_apart, metric)))


def _apart(metric: str, other: Any, own: Any) -> str:
    before, after = mean(other), mean(own)
    return numbers.difference(metric, None if before is None or after is None else after - before)


def _latency_apart(other: Any, own: Any) -> str:
    return latency_ratio(mapping(other), mapping(own))


def _metric_cell(metric: str, value: Any) -> Cell:
    return Cell(numbers.measure(metric, mean(value)), numbers.spread(metric, value))


def _costs(columns: _Columns, costs: tuple[Any, ...]) -> Iterator[Row]:
    for group, key, title, text, words in costs:
        values = {name: cost.get(key) for name, cost in columns.part("cost").items()}
        cells = tuple(Cell(text(value)) for value in values.values())
        yield Row(group, title, cells, **columns.beside(values, partial(numbers.ratio, words=words)))


def _latencies(columns: _Columns) -> Iterator[Row]:
    values = {name: mapping(cost.get("latency_ms")) for name, cost in columns.part("cost").items()}
    sizes = dict.fromkeys(size for entry in values.values() for size in entry)
    for batch in sorted(sizes, key=lambda size: (len(str(size)), str(size))):
        times = {name: mapping(entry.get(batch)) for name, entry in values.items()}
        threads = {_threads(time) for time in times.values() if time}
        shared = threads.pop() if len(threads) == 1 else ""
        cells = tuple(_latency_cell(time, "" if shared else _threads(time)) for time in times.values())
        yield Row(
            "Latency", f"Latency, batch {batch}", cells, note=shared, **columns.beside(times, _latency_apart)
        )


def _latency_cell(time: Mapping[str, Any], threads: str) -> Cell:
    slow = "" if number(time.get("p95")) is None else f"p95\u00a0{numbers.measure('latency', time['p95'])}"
    notes = [slow, threads, "" if _stable(time) else NOT_STABLE]
    return Cell(_milliseconds(time.get("p50")), ", ".join(filter(None, notes)))


def _threads(time: Mapping[str, Any]) -> str:
    count = number(time.get("threads"))
    return "" if count is None else numbers.counted(int(count), "thread")


def _stable(time: Mapping[str, Any]) -> bool:
    """Latencies that say nothing of it are taken as they are."""
    return time.get("stable") is not False


def _milliseconds(value: Any) -> str:
    return DASH if number(value) is None else f"{numbers.measure('latency', value)}\u00a0ms"
