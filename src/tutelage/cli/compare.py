"""`tutelage compare`: finished runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli import output
from tutelage.cli.options import AsJson

__all__ = ["compare"]


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…",
            help="Folders of finished runs, and measures as JSON files; two or more.",
            show_default=False,
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="The run that the others are held against; by default the first.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the page to this .html file.", show_default=False),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a line for each network to this file.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put finished runs side by side: what differs, which is better and how sure that is, what each costs.

    Runs of one recipe with other seeds are put together. Differences are paired over seeds and test examples.
    """
    with output.only_results():
        from tutelage.comparison import compare as put_together

        found = put_together(runs, against=against)
        found.write(out, csv=csv)
    if as_json:
        output.print_json(found.results)
    else:
        output.print_rich(found.table())
    for path in filter(None, (out, csv)):
        output.say(f"wrote {path}")
