"""`tutelage run`: from a recipe to a verdict."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, Asked, Cpu, Quiet, RecipeName, Seeds, Set
from tutelage.errors import Interrupted, TutelageWarning

__all__ = ["run"]


def run(
    recipe: RecipeName,
    changes: Set = None,
    allow: Allow = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The run's folder; by default runs/ and the recipe's name.",
            show_default=False,
        ),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Take the teacher's answers from there, as tutelage label put them, in place of a teacher.",
            show_default=False,
        ),
    ] = None,
    seeds: Seeds = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out that was stopped or killed.")
    ] = False,
    quiet: Quiet = False,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Send the curves to a tracker too: tensorboard, wandb, mlflow … May be given several times.",
            show_default=False,
        ),
    ] = None,
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Train the teacher, the student alone and the student taught; compare them over seeds; report.

    Everything is written to a folder: weights, results.json, report.html. A run that is stopped with Ctrl-C
    writes a checkpoint first, and goes on from there with --resume.
    """
    if resume and out is None:
        raise typer.BadParameter("say which run to go on with: --out runs/…", param_hint="--resume")
    named = tuple(changes or ())
    if answers is not None:
        changes = [*(changes or []), f"teacher={{stored: {{answers: {answers!r}}}}}"]
    if quiet:
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    with output.only_results():
        from tutelage import report, runs
        from tutelage.runs.folder import free_folder

        if answers is not None:
            _say_whose(answers, recipe, named)
        asked = Asked(recipe, tuple(changes or ()), seeds, cpu=cpu, quiet=quiet, allow=tuple(allow or ()))
        study = replace(asked.study(), again=shlex.join(["tutelage", "run", *asked.words()]))
        folder = out or free_folder(asked.name)
        trackers = tracker or []
        try:
            done = runs.run(study, folder, resume=resume, quiet=quiet, cpu=cpu, trackers=trackers)
        except Interrupted as stop:
            output.say_stop(f"{stop}\ngo on with: {_again(asked, folder, trackers)}")
            raise typer.Exit(130) from stop
    if not done.speaks:  # another process does
        return
    if as_json:
        output.print_json(done.results)
    else:
        output.print_rich(report.summary(done.results))


def _say_whose(answers: str, recipe: str, changes: Sequence[str]) -> None:
    """Warn where the recipe, as it was typed, names another teacher than the answers are of."""
    from tutelage.recipes import load
    from tutelage.studies.stored import other_teacher

    resolved = load(recipe, changes=changes).model_dump(mode="json", exclude_unset=True)
    said = other_teacher(answers, resolved)
    if said is not None:
        warnings.warn(said, TutelageWarning, stacklevel=2)


def _again(asked: Asked, out: Path, trackers: Sequence[str]) -> str:
    """The command that goes on with a run that was stopped."""
    words = ["tutelage", "run", *asked.words()]
    words += [word for name in trackers for word in ("--tracker", name)]
    return shlex.join([*words, "--out", str(out), "--resume"])
