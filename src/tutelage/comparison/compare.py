"""Several runs, put side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.comparison.caveats import caveats, unequal
from tutelage.comparison.costs import costs
from tutelage.comparison.networks import networks
from tutelage.comparison.page import render
from tutelage.comparison.pairs import judged, pairs_of
from tutelage.comparison.pools import Pool, pooled
from tutelage.comparison.records import Measure, Record, read_measure, read_record
from tutelage.comparison.rows import headline
from tutelage.comparison.settings import Setting, differing
from tutelage.comparison.sheet import sheet
from tutelage.comparison.table import summary
from tutelage.errors import OutputError, RecipeError, UnknownName
from tutelage.evaluation.two_way import check_level
from tutelage.files import write_atomically
from tutelage.report.numbers import mapping
from tutelage.report.table import plain

__all__ = ["Compared", "compare"]

FORMAT = 1
"""The format of a comparison's results."""


@dataclass(frozen=True)
class Compared:
    """Runs side by side.

    Args:
        results: every number, as `tutelage compare --json` prints them.
    """

    results: dict[str, Any]

    def __repr__(self) -> str:
        """What came of it in a line, and a line for each thing that makes it doubtful."""
        doubts = "".join(f"\n  Warning: {plain(said)}" for said in self.results["warnings"])
        return f"Compared({headline(self.results)}){doubts}"

    def table(self) -> Any:
        """What the terminal shows, for `rich.print`."""
        return summary(self.results)

    def page(self) -> str:
        """One HTML page without outside links."""
        return render(self.results)

    def csv(self) -> str:
        """A line for each network of each run, as comma-separated values."""
        return sheet(self.results)

    def write(self, page: str | Path | None = None, *, csv: str | Path | None = None) -> None:
        """Write the page, the table as CSV, or both.

        Args:
            page: file of the page.
            csv: file of the table.

        Raises:
            OutputError: a file cannot be written.
        """
        if page is not None:
            write_atomically(Path(page), self.page().encode("utf-8", errors="replace"))
        if csv is not None:
            write_atomically(Path(csv), self.csv().encode("utf-8", errors="replace"))


def compare(
    runs: Mapping[str, Any] | Iterable[Any], *, against: str | None = None, level: float = 0.95
) -> Compared:
    """Put finished runs side by side: what differs, which is better and how sure that is, what each costs.

    Runs of one recipe with other seeds are put together. Each recipe's student is held against the
    reference's, and against its own control, on the seeds and the test examples that both have. These are two
    families (Holm): in each, the chance of any wrong word is at most 1 − level.

    Args:
        runs: folders of runs, `Run`s, and measures as JSON files (see `comparison.records.Measure`); or a
            mapping from a name to one of these, or to a list of runs.
        against: the reference, by the name or folder of one of its runs; by default the first that came.
        level: confidence that each family keeps, 0 … 1, before looks at the test set.

    Raises:
        OutputError: a folder that is no run, or one that is not finished.
        RecipeError: too little to compare, or runs of different tasks or metrics.
        UnknownName: a reference that is not among the runs.
        CheckpointError: a file that is cut short or foreign.
        ValueError: a level outside 0 … 1.

    Example:
        >>> import tutelage as tl
        >>> found = tl.compare(["runs/t2", "runs/t8"])  # doctest: +SKIP
        >>> found.write("comparison.html", csv="comparison.csv")  # doctest: +SKIP
    """
    check_level(level)
    records, measures = _read(runs)
    _check(records, measures)
    pools = pooled(records)
    reference = pools[0] if against is None else _reference(pools, against)
    settings = differing([pool.first.recipe for pool in pools])
    higher = next(pool.higher_is_better() for pool in pools)
    differ = {pool.label: unequal(pool, reference) for pool in pools if pool is not reference}
    results = {
        "format": FORMAT,
        "metric": reference.metric,
        "higher_is_better": higher,
        "level": level,
        "reference": reference.label,
        "runs": {pool.label: _about(pool, place, settings) for place, pool in enumerate(pools)},
        "settings": [{"path": each.path, "label": each.label} for each in settings],
        "warnings": caveats(pools, reference),
        "comparisons": judged(pairs_of(pools, reference, differ), higher_is_better=higher, level=level),
        "rows": networks(pools, measures),
        "costs": costs(pools),
    }
    return Compared(results)


def _read(runs: Mapping[str, Any] | Iterable[Any]) -> tuple[list[tuple[str | None, Record]], list[Measure]]:
    records: list[tuple[str | None, Record]] = []
    measures, seen = [], set()
    for name, came in _named(runs):
        path = Path(getattr(came, "out", came))
        if path.resolve() in seen:
            raise RecipeError(f"{path} came twice; a run is no further evidence for itself: leave one out")
        seen.add(path.resolve())
        if path.is_file():
            held = read_measure(path)
            measures.append(held if name is None else held.model_copy(update={"name": name}))
        elif path.suffix == ".json" and not path.exists():
            raise OutputError(f"there is no file {path}; give folders of runs, and measures as JSON files")
        else:
            records.append((name, read_record(path)))
    return records, measures


def _named(runs: Mapping[str, Any] | Iterable[Any]) -> Iterator[tuple[str | None, Any]]:
    if isinstance(runs, str | Path) or hasattr(runs, "out"):
        yield None, runs
    elif isinstance(runs, Mapping):
        for name, came in runs.items():
            for one in came if isinstance(came, list | tuple) else [came]:
                yield str(name), one
    else:
        yield from ((None, one) for one in runs)


def _check(records: Sequence[tuple[str | None, Record]], measures: Sequence[Measure]) -> None:
    if len(records) + len(measures) < 2:
        alone = f"only {records[0][1].folder} came" if records else "nothing to compare came"
        raise RecipeError(
            f"{alone}; give two or more folders of runs (for one alone, tutelage report shows its page)"
        )
    if not records:
        raise RecipeError("only measures came; give at least one folder of a run to hold them against")
    first = records[0][1]
    for _, record in records[1:]:
        if record.metric != first.metric:
            raise RecipeError(
                f"{record.folder} is judged by {record.metric!r} and {first.folder} by {first.metric!r}; "
                "compare runs of one metric, and others apart"
            )
        if record.task and first.task and record.task != first.task:
            raise RecipeError(
                f"{record.folder} is of the task {record.task!r} and {first.folder} of {first.task!r}; "
                "compare runs of one task, and others apart"
            )
    for one in measures:
        if one.quality and first.metric not in one.quality:
            raise RecipeError(
                f"the measure {one.name!r} has {', '.join(one.quality)}, and the runs are judged by "
                f"{first.metric!r}; measure that too, or leave its quality out"
            )


def _reference(pools: Sequence[Pool], against: str) -> Pool:
    for pool in pools:
        folders = [record.folder for record in pool.records]
        if against == pool.label or Path(against).resolve() in [folder.resolve() for folder in folders]:
            return pool
    raise UnknownName("run to hold the others against", against, [pool.label for pool in pools])


def _about(pool: Pool, place: int, settings: Sequence[Setting]) -> dict[str, Any]:
    return {
        "recipe": pool.first.name,
        "folders": [str(record.folder) for record in pool.records],
        "seeds": list(pool.source),
        "looks": pool.looks,
        "primary": pool.primary,
        "against": pool.against,
        "settings": {each.path: each.values[place] for each in settings},
        "machine": mapping(pool.first.environment.get("machine")),
        "versions": mapping(pool.first.environment.get("versions")),
        "data": mapping(pool.first.environment.get("data")),
    }
