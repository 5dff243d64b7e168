"""`tutelage export`: a student, for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, RunFolder, Set
from tutelage.errors import OutputError

__all__ = ["export"]


def export(
    run_dir: RunFolder,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="safetensors, torch_export or onnx.", show_default=False
        ),
    ],
    path: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Where to write; by default export/student in the run's folder.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there already.")
    ] = False,
    changes: Set = None,
    allow: Allow = None,  # noqa: ARG001 - its callback does it
    as_json: AsJson = False,
) -> None:
    """Write the student of a run in a format that other programs read, and check what was written."""
    with output.only_results():
        from tutelage.data import reading
        from tutelage.errors import UnknownName
        from tutelage.export import export as write
        from tutelage.export import formats, suffixes
        from tutelage.recipes.rebuild import rebuild
        from tutelage.runs.folder import read_run
        from tutelage.training.networks import write_beside

        if format_ not in formats:
            raise UnknownName("format", format_, formats)
        read_run(run_dir, "results.json")
        target = path or run_dir / "export" / f"student{suffixes[format_]}"
        if target.exists() and not overwrite:
            raise OutputError(f"{target} is there already; replace it with --overwrite, or choose --output")
        made = rebuild(str(run_dir), changes=changes or [])
        example = reading(made.problem.train.batch([0]), made.reads).inputs
        found = write(made.network, example, target, format=format_, overwrite=overwrite)
        write_beside(made.network, made.problem, target.parent, made.about)
    if as_json:
        output.print_json(found)
    else:
        from tutelage.report.numbers import size

        same = f"its answers differ from the student's by {found['max_difference']:.2g} at most"
        output.print_text(f"{found['path']}: {found['format']}, {size(found['bytes'])}; {same}")
