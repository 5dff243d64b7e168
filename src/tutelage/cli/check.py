"""`tutelage check`: does it build, does it train, how long will it take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, Cpu, RecipeName, Seeds, Set

__all__ = ["check"]


def check(
    recipe: RecipeName,
    changes: Set = None,
    allow: Allow = None,  # noqa: ARG001 - its callback does it
    seeds: Seeds = None,
    out: Annotated[Path, typer.Option(help="Where the run would write, to look for room there.")] = Path(
        "runs"
    ),
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Build a recipe, train every arm for a few steps, and forecast time, memory and disk.

    Nothing is kept, and the test split is not read.
    """
    with output.only_results():
        from tutelage.engine import Runtime
        from tutelage.forecast import forecast
        from tutelage.recipes import build, load, name_of

        name = name_of(recipe)
        study = build(load(recipe, changes=changes or [], only_look=True), name, seeds=seeds)
        found = forecast(study, out=out, runtime=Runtime(cpu=cpu, quiet=True))
    for warning in found["warnings"]:
        output.say(f"warning: {warning}", style="yellow")
    if as_json:
        output.print_json({"recipe": name, "seeds": list(study.seeds), **found})
    else:
        _print(name, len(study.seeds), found)


def _print(name: str, seeds: int, found: Mapping[str, Any]) -> None:
    from rich.table import Table

    from tutelage.report.numbers import size

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for title in ("steps", "a step", f"all {seeds} seeds" if seeds > 1 else "one seed"):
        table.add_column(title, justify="right")
    for arm, held in found["arms"].items():
        step = held["seconds_per_step"]
        each = "–" if step is None else f"{step * 1000:.3g} ms"
        table.add_row(arm, f"{held['steps']:,}", each, _words(held["seconds"]))
    output.print_rich(
        f"{name}: everything builds; one step of each arm works.",
        "",
        table,
        "",
        f"Time    {_words(found['seconds'])}, some seconds of measuring apart",
        f"Memory  {size(found['memory_bytes'])}: {found['memory_is']}",
        f"Disk    {size(found['disk_bytes'])}, and {size(found['disk_free_bytes'])} are free",
        *_answers(found["answers"]),
    )


def _answers(found: Mapping[str, Any] | None) -> list[str]:
    """Whether to label first."""
    from tutelage.report.numbers import size

    if found is None:
        return []
    room = f" ({size(found['bytes'])})" if "bytes" in found else ""
    return [f"Store   {found['advice']}{room}"]


def _words(seconds: float) -> str:
    """A length of time as one says it."""
    for unit, length, until in (("second", 1, 100), ("minute", 60, 100), ("hour", 3600, 48)):
        if seconds < until * length:
            count = seconds / length
            number = f"{count:.0f}" if count >= 10 else f"{count:.1f}".removesuffix(".0")
            return (
                f"about {number} {unit}{'' if number == '1' else 's'}" if seconds >= 1 else "under 1 second"
            )
    return f"about {seconds / 86400:.0f} days"
