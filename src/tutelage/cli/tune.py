"""`tutelage tune`: settings for the student and its control, found on the validation split."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, Cpu, Quiet, RecipeName, Set, said
from tutelage.errors import Interrupted

__all__ = ["tune"]


def tune(
    recipe: RecipeName,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            callback=said,
            help="What is searched: a dotted path and lo..hi (:log, :linear or :int behind it) or a|b|c, "
            "such as stages.0.scheme.matches.0.temperature=1..16:log. May be given several times; by default "
            "temperatures, weights of terms and learning rates.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(metavar="N", help="Trials of the student, and again of the control.")
    ] = 30,
    finalists: Annotated[int, typer.Option(metavar="N", help="How many of the best are trained again.")] = 3,
    seeds: Annotated[int, typer.Option(metavar="N", help="With how many further seeds; 0 for none.")] = 3,
    changes: Set = None,
    allow: Allow = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The tuning's folder; by default runs/ and the recipe's name with -tune.",
            show_default=False,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A database for the trials, such as postgresql://…, in place of a journal in the folder.",
            show_default=False,
        ),
    ] = None,
    pruner: Annotated[
        str,
        typer.Option(metavar="NAME", help="What breaks off trials that are behind: median, hyperband, none."),
    ] = "median",
    seed: Annotated[int, typer.Option(metavar="N", help="Of what is drawn.")] = 0,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the tuning in --out, or work at it beside other processes."
        ),
    ] = False,
    quiet: Quiet = False,
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Tune the student on the validation split, and its control with as many trials.

    The test split is not read. The folder gets trials.json, tune.html and the chosen recipe.yaml, which says
    how it was tuned. A tuning that was stopped or killed goes on with --resume, and several processes may
    work at one folder.
    """
    if resume and out is None:
        raise typer.BadParameter("say which tuning to go on with: --out runs/…", param_hint="--resume")
    with output.only_results():
        from tutelage.recipes import name_of
        from tutelage.runs.folder import free_folder
        from tutelage.tuning import tune as tuned_by

        folder = out or free_folder(f"{name_of(recipe)}-tune")
        asked: dict[str, Any] = {"trials": trials, "finalists": finalists, "seeds": seeds, "pruner": pruner}
        asked |= {"seed": seed, "storage": storage}
        try:
            found = tuned_by(
                recipe,
                search=search,
                changes=changes or [],
                out=folder,
                resume=resume,
                device="cpu" if cpu else None,
                quiet=quiet,
                **asked,
            )
        except Interrupted as stop:
            again = _again(recipe, search or [], changes or [], allow or [], asked, folder, cpu=cpu)
            output.say_stop(f"{stop}\ngo on with: {again}")
            raise typer.Exit(130) from stop
    if as_json:
        output.print_json(found.results)
    else:
        _print(found.results, folder)


def _print(results: Mapping[str, Any], folder: Path) -> None:
    from rich.table import Table

    from tutelage.report import numbers

    metric = results["metric"]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for title in ("chosen", "mattered"):
        table.add_column(title, justify="right")
    for name, side in results["sides"].items():
        count = numbers.counted(len(side["trials"]), "trial")
        if side.get("said"):
            table.add_row(f"{name}, {count}", side["said"], "")
            continue
        took = numbers.duration(side["seconds"])
        table.add_row(
            f"{name}, {count}, {took}",
            f"{numbers.in_text(metric)} {numbers.measure(metric, side['value'])}",
            "",
        )
        for key, value in side["chosen"].items():
            table.add_row(f"  {key}", str(value), numbers.percent(side["importance"].get(key)))
    output.print_rich(
        table,
        "",
        "Chosen by the mean on validation over further seeds; the test split was not read.",
        f"Report: {folder / 'tune.html'}",
        f"Judge it: tutelage run {shlex.quote(str(folder / 'recipe.yaml'))}",
    )


def _again(
    recipe: str,
    search: Sequence[str],
    changes: Sequence[str],
    allow: Sequence[str],
    asked: Mapping[str, Any],
    out: Path,
    *,
    cpu: bool,
) -> str:
    """The command that goes on with a tuning that was stopped."""
    words = ["tutelage", "tune", recipe]
    words += [word for each in search for word in ("--search", each)]
    words += [word for each in changes for word in ("--set", each)]
    words += [word for each in allow for word in ("--allow", each)]
    words += [
        word for name, value in asked.items() if value is not None for word in (f"--{name}", str(value))
    ]
    return shlex.join([*words, *(["--cpu"] if cpu else []), "--out", str(out), "--resume"])
