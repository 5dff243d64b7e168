"""`tutelage evaluate`: measure a student again."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, Cpu, Set

__all__ = ["Split", "evaluate"]


class Split(StrEnum):
    """What to measure on."""

    test = "test"
    validation = "validation"


def evaluate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN_DIR",
            help="The folder of a finished run; or a recipe, with --weights.",
            show_default=False,
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A safetensors file, instead of the run's student.", show_default=False
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="What to measure on.")] = Split.test,
    changes: Set = None,
    allow: Allow = None,  # noqa: ARG001 - its callback does it
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Measure the student of a run: quality, calibration, cost."""
    with output.only_results():
        from tutelage.engine import Runtime
        from tutelage.errors import DataError
        from tutelage.recipes.rebuild import rebuild
        from tutelage.runs.measuring import calibrations, cost_of_network, measure_network, spread

        made = rebuild(source, changes=changes or [], weights=weights)
        part = getattr(made.problem, split.value)
        if part is None:
            raise DataError("this problem has no test split; measure with --split validation")
        device = Runtime(cpu=cpu, quiet=True).device
        network = made.network.to(device)
        measured = measure_network(network, made.problem, device, split=part, name=made.role)
        found = {
            "recipe": made.recipe,
            "weights": str(made.weights),
            "split": split.value,
            "examples": len(part),
            "quality": spread([measured.quality]),
            "calibration": calibrations([measured]),
            "cost": cost_of_network(network, made.problem, device, name=made.role),
        }
    if as_json:
        output.print_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    from rich.table import Table

    from tutelage.report import numbers

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    for metric, held in {**found["quality"], **found["calibration"]}.items():
        table.add_row(numbers.label(metric), numbers.measure(metric, held["mean"]))
    cost = found["cost"]
    table.add_row("Parameters", numbers.amount(cost["parameters"]))
    table.add_row("Weights", numbers.size(cost["bytes"]))
    table.add_row("FLOPs an example", numbers.amount(cost["flops"]))
    for batch, held in cost["latency_ms"].items():
        table.add_row(f"Latency, batch of {batch}", f"{held['p50']:.3g} ms, p95 {held['p95']:.3g}")
    table.add_row("Peak memory", numbers.size(cost["peak_memory_bytes"]))
    table.add_row("Energy an example", numbers.amount(cost["energy_joules"], "J"))
    where = f"{found['weights']} on the {found['split']} split, {found['examples']:,} examples"
    output.print_rich(where, "", table)
