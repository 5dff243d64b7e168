"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "Cpu", "RecipeName", "RunFolder", "Seeds", "Set"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else.")]

Cpu = Annotated[bool, typer.Option("--cpu", help="Stay on the CPU though there is an accelerator.")]

RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe by name (see `tutelage list`), or the path of a .yaml or .py file.",
        show_default=False,
    ),
]

RunFolder = Annotated[
    Path,
    typer.Argument(metavar="RUN_DIR", help="The folder of a finished run.", show_default=False),
]

Seeds = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="How many seeds, instead of the recipe's.", show_default=False),
]

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a value of the recipe: a dotted path and YAML, such as stages.0.train.epochs=5. May be "
        "given several times.",
        show_default=False,
    ),
]
