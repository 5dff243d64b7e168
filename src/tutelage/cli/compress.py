"""`tutelage compress`: a student made smaller without training it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, Cpu, Quiet, Set

__all__ = ["compress"]


def compress(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN_DIR",
            help="The folder of a finished run; or a recipe, with --weights.",
            show_default=False,
        ),
    ],
    change: Annotated[
        list[str],
        typer.Option(
            metavar="NAME[:KEY=VALUE,…]",
            help="A change, such as prune:share=0.3 (see `tutelage list changes`); tolerance and keep are "
            "keys too. May be given several times.",
            show_default=False,
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A safetensors file, instead of the run's student.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new folder; by default runs/compress.", show_default=False),
    ] = None,
    changes: Set = None,
    allow: Allow = None,  # noqa: ARG001 - its callback does it
    quiet: Quiet = False,
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Make the student of a run smaller, step by step, each measured; to train between steps write a recipe.

    The folder is read by evaluate and export as that of a run is.
    """
    with output.only_results():
        from tutelage.recipes.rebuild import rebuild
        from tutelage.runs.compress import compress_network, read_changes

        wishes = read_changes([_wish(each) for each in change])
        made = rebuild(source, changes=changes or [], weights=weights)
        files = {}
        if Path(source).is_dir():
            files["recipe.yaml"] = (Path(source) / "recipe.yaml").read_text("utf-8")
        found = compress_network(
            made.network, made.problem, wishes, out, about=made.about, files=files, cpu=cpu, quiet=quiet
        )
    if as_json:
        output.print_json({"out": str(found.out), "metric": found.metric, "way": list(found.way)})
    else:
        _print(found.way, found.metric, found.out)


def _wish(text: str) -> Mapping[str, Any]:
    """A change from the command line: its name, then its settings as YAML."""
    from tutelage.errors import RecipeError
    from tutelage.recipes.load import read_value

    name, _, rest = text.partition(":")
    settings: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise RecipeError(f"--change came as {text!r}; expected NAME or NAME:KEY=VALUE,…")
        settings[key.strip()] = read_value(value, f"--change {text!r}")
    beside = {key: settings.pop(key) for key in ("tolerance", "keep") if key in settings}
    return {name: settings} | beside


def _print(way: Sequence[Mapping[str, Any]], metric: str, out: Path) -> None:
    from rich.table import Table

    from tutelage.report import numbers
    from tutelage.report.way import way as shown

    told = shown({"verdict": {"metric": metric}, "way": list(way)})
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for title in (numbers.label(metric), "against before", "Parameters", "Weights"):
        table.add_column(title, justify="right")
    for batch in told["way_batches"]:
        table.add_column(f"Batch {batch}", justify="right")
    for stop in told["way"]:
        times = [stop["latency"].get(batch, (numbers.DASH, ""))[0] for batch in told["way_batches"]]
        table.add_row(
            stop["name"], stop["quality"], stop["difference"], stop["parameters"], stop["bytes"], *times
        )
    output.print_rich(table, "", *told["way_notes"])
    output.print_text(f"Written to {out}")
