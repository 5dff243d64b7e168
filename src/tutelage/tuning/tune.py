"""Tune a recipe, or a call of `distill`: student and control alike, on the validation split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.engine import StopRequest
from tutelage.errors import RecipeError, UnknownName
from tutelage.modes import returned_as_it_was
from tutelage.recipes import load, name_of
from tutelage.recipes.load import parse
from tutelage.runs.arguments import on_cpu
from tutelage.runs.folder import free_folder
from tutelage.runs.study_of import networks_of
from tutelage.trust import trusting
from tutelage.tuning.knobs import read_search
from tutelage.tuning.place import need_optuna
from tutelage.tuning.subjects import CallSubject, RecipeSubject, Subject
from tutelage.tuning.tuned import Tuned
from tutelage.tuning.worker import Settings, Worker

if TYPE_CHECKING:
    pass

__all__ = ["tune"]


def tune(
    what: str | Path | Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    *,
    search: Mapping[str, Any] | Sequence[str] | None = None,
    trials: int = 30,
    finalists: int = 3,
    seeds: int = 3,
    pruner: str = "median",
    seed: int = 0,
    changes: Sequence[str] = (),
    trust: Sequence[str] = (),
    out: str | Path | None = None,
    storage: str | None = None,
    resume: bool = False,
    device: str | None = None,
    quiet: bool = False,
    **call: Any,
) -> Tuned:
    """Find settings for a student on the validation split, and for its control with as many trials.

    A trial trains with one seed, by the values that it draws (Optuna's TPE); the first has those that stand
    there. The best few are trained again with further seeds, and the best mean over these is chosen. The test
    split is not read. Several processes may work at one folder: start each with `resume`.

    Args:
        what: a recipe by name or path, or its plain data; or a function from a trial's settings to the
            arguments of `distill`. Without it, give the arguments of `distill` themselves: teacher, student,
            train, validation …
        search: key -> values: `(lo, hi)`, `(lo, hi, "log")`, `(lo, hi, "int")`, a list of choices, or as on
            the command line, `"1..16:log"`, `"a|b"`. Keys are dotted paths in a recipe, where a choice may be
            a mapping that is set key by key; or arguments of `distill`. By default temperatures, weights and
            learning rates.
        trials: of the student, and again of the control.
        finalists: how many of the best are trained again.
        seeds: with how many further seeds; 0 for none, and the best trial is chosen.
        pruner: what breaks off a trial that is behind: `median`, `hyperband`, or `none`.
        seed: of what is drawn.
        changes: `key=value` each, set on the recipe first.
        trust: modules outside tutelage that the recipe may name, `package.module`.
        out: the folder; `runs/<name>-tune` or the next free one by default.
        storage: a database's URL for the trials; a journal in the folder by default. The folder must be seen
            by all processes either way.
        resume: go on with a tuning that was stopped or killed, or work at it beside others.
        device: "cpu", though there is an accelerator.
        quiet: show no progress.
        call: arguments of `distill` that all trials have.

    Returns:
        what was chosen; `.run()` then trains student and control with it, and judges them.

    Raises:
        MissingExtra: Optuna is not installed.
        RecipeError, UnknownName: what is searched, or how often, cannot be.
        OutputError: the folder or the storage holds another tuning.
        Interrupted: a stop was asked for; `resume` goes on.

    Example:
        >>> tl.tune("vision/digits", search={"stages.0.scheme.matches.0.temperature": (1, 16, "log")},
        ...         trials=20)                                                        # doctest: +SKIP
        >>> tl.tune(teacher=teacher, student=student, train=train, validation=validation,
        ...         search={"temperature": (1, 16), "lr": (1e-4, 1e-1)}).run(test=test)  # doctest: +SKIP
    """
    need_optuna()
    settings = Settings(trials, finalists, seeds, pruner, seed)
    settings.check()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError(
            "tune came in one of several processes that train together; a trial is trained by one: start "
            "single processes on one folder, with resume=True (--resume)"
        )
    test = call.pop("test", None)
    with (
        returned_as_it_was(*networks_of(call.get("teacher"))),
        _quiet_optuna(),
        trusting(trust),
        StopRequest() as stop,
    ):
        subject = _subject(what, changes, call)
        work = Worker(subject, settings, stop, cpu=on_cpu(device), quiet=quiet)
        knobs = list(read_search(search or subject.usual()).values())
        subject.check(knobs)
        where = Path(out) if out else free_folder(f"{subject.name}-tune")
        return work.tune(knobs, where, storage=storage, resume=resume, test=test)


def _subject(what: Any, changes: Sequence[str], call: Mapping[str, Any]) -> Subject:
    if what is None:
        missing = [name for name in ("teacher", "student", "train") if name not in call]
        if missing:
            raise RecipeError(
                f"tune came without {', '.join(missing)}; give a recipe, a function of settings, or the "
                "arguments of distill: teacher, student, train, validation"
            )
        return CallSubject.of(call)
    if call:
        raise UnknownName("argument of tune", next(iter(call)), _arguments())
    if callable(what):
        return CallSubject(what)
    if isinstance(what, Mapping):
        if changes:
            raise RecipeError("changes came beside a recipe's plain data; write them into it")
        return RecipeSubject(_plain(parse(what)), "recipe")
    return RecipeSubject(_plain(load(str(what), changes=changes)), name_of(str(what)))


def _arguments() -> list[str]:
    from inspect import signature

    return [name for name in signature(tune).parameters if name not in ("what", "call")]


def _plain(recipe: Any) -> dict[str, Any]:
    return dict(recipe.model_dump(mode="json", exclude_unset=True))


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Let Optuna say nothing but warnings while we work."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
