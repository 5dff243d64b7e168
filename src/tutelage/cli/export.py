"""`tutelage export`: a student, for use elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, RunFolder, Set
from tutelage.errors import OutputError, RecipeError

__all__ = ["export"]


def export(
    run_dir: RunFolder,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="safetensors, torch_export, onnx, openvino, executorch, gguf or deep_compression; or "
            "bundle, a folder with what a device needs.",
            show_default=False,
        ),
    ],
    path: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Where to write; by default export/student, or export/bundle, in the run's folder.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")] = False,
    opset: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="The version of ONNX's operators, of onnx and bundle.", show_default=False
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Of gguf: f16 or q8_0.", show_default=False),
    ] = None,
    examples: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Test examples to lie in a bundle, to measure quality on the device."
        ),
    ] = 0,
    licences: Annotated[
        list[str] | None,
        typer.Option(
            "--licence",
            metavar="PART=LICENCE",
            help="For a bundle's card: of student, teacher or data. May be given several times.",
            show_default=False,
        ),
    ] = None,
    changes: Set = None,
    allow: Allow = None,  # noqa: ARG001 - its callback does it
    as_json: AsJson = False,
) -> None:
    """Write the student of a run in a format that other programs read, and check what was written."""
    with output.only_results():
        from tutelage.recipes.rebuild import rebuild
        from tutelage.runs.exporting import BUNDLE, Exportable, target_of, write_student
        from tutelage.runs.folder import read_run
        from tutelage.training.networks import write_beside

        options = _options(format_, opset, weights)
        target = path or target_of(run_dir, format_)
        target_of(run_dir, format_)  # an unknown format is refused with --output too
        read_run(run_dir, "results.json")
        if target.exists() and not overwrite:
            raise OutputError(f"{target} is there already; replace it with --overwrite, or choose --output")
        made = rebuild(str(run_dir), changes=changes or [])
        found = write_student(
            Exportable(made.network, made.problem, made.role, run_dir),
            format_,
            target,
            examples=examples,
            licences=_read_licences(licences or []),
            overwrite=overwrite,
            **options,
        )
        if format_ != BUNDLE:
            write_beside(made.network, made.problem, target.parent, made.about)
    if as_json:
        output.print_json(found)
    else:
        output.print_text(_said(found))


def _options(format_: str, opset: int | None, weights: str | None) -> dict[str, Any]:
    """The settings that a format has, of those that came."""
    owners = {"opset": ("onnx", "bundle"), "weights": ("gguf",)}
    given = {name: came for name, came in (("opset", opset), ("weights", weights)) if came is not None}
    for name in given:
        if format_ not in owners[name]:
            raise RecipeError(f"--{name} is for {' and '.join(owners[name])}, and the format is {format_}")
    return given


def _read_licences(came: Sequence[str]) -> dict[str, str]:
    for one in came:
        if "=" not in one:
            raise RecipeError(f"--licence {one}; expected PART=LICENCE, such as data=cc-by-4.0")
    return {part.strip(): said.strip() for part, _, said in (one.partition("=") for one in came)}


def _said(found: dict[str, Any]) -> str:
    from tutelage.report.numbers import counted, size

    same = found.get("same_first_choice")
    first = "" if same is None else f", and its first choice is the same in {100 * same:.4g} % of answers"
    count = counted(found["examples"], "example")
    said = (
        f"{found['path']}: {found['format']}, {size(found['bytes'])}; on {count} its answers "
        f"differ from the student's by {found['max_difference']:.2g} at most{first}"
    )
    if "breakdown" not in found:
        return said
    parts = ", ".join(f"{name} {size(held)}" for name, held in found["breakdown"].items())
    times = found["plain_bytes"] / found["bytes"]
    return f"{said}\n{parts}; {times:.3g} times smaller than the plain weights"
