"""`tutelage label`: a teacher's answers, once, for every run that follows."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, Asked, Cpu, Quiet, RecipeName, Seeds, Set
from tutelage.errors import RecipeError, UnknownName

if TYPE_CHECKING:
    from tutelage.engine import StopRequest
    from tutelage.labelling import Labelling, LabelSettings, Stated

__all__ = ["label"]

_ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Order:
    """What was asked of `tutelage label`; workers on other machines are sent it.

    Args:
        asked: the recipe, and how to work.
        out: where the answers go.
        settings: how they are kept.
        engine: `local` or `ray`.
        workers: how many ask at a time, under `ray`.
        repair: check every file of finished answers first.
    """

    asked: Asked
    out: str
    settings: LabelSettings
    engine: str = "local"
    workers: int = 2
    repair: bool = False


def label(
    recipe: RecipeName,
    changes: Set = None,
    allow: Allow = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Where the answers go: a folder, or a URL such as s3://…; by default answers/ and the "
            "recipe's name.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Choose the form by the room it may take: 2GB.", show_default=False
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="How logits are kept: dense:float32 (default), float16, bfloat16 or int8; topk:64; "
            "sampled:12. With @1,4 for other temperatures than the recipe's.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Keep this layer too, beside those that the recipe matches.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Of the teacher's forward passes: float32 or bfloat16.")
    ] = "float32",
    engine: Annotated[
        str,
        typer.Option(
            help="local: this process, or those of accelerate launch. ray: Ray Data, on one or many machines."
        ),
    ] = "local",
    workers: Annotated[int, typer.Option(min=1, help="How many ask at a time, under --engine ray.")] = 2,
    shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="What a file of answers takes, about.")
    ] = "32MB",
    compress: Annotated[
        bool, typer.Option("--compress", help="Pack the files with gzip; training unpacks each once.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Check every file of finished answers, and make damaged ones again."),
    ] = False,
    seeds: Seeds = None,
    quiet: Quiet = False,
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Ask the teacher about everything that a recipe will show its students, and keep the answers.

    A killed or stopped call goes on where it was when it is made again. Students then train without the
    teacher: tutelage run RECIPE --answers DIR
    """
    if engine not in _ENGINES:
        raise UnknownName("engine", engine, _ENGINES)
    with output.only_results():
        from tutelage.answers import read_bytes
        from tutelage.labelling import LabelSettings

        settings = LabelSettings(
            form=form,
            budget=None if budget is None else read_bytes(budget),
            layers=tuple(layer or ()),
            precision=precision,
            shard_bytes=int(read_bytes(shard_size)),
            compressed=compress,
        )
        asked = Asked(recipe, tuple(changes or ()), seeds, cpu=cpu, quiet=quiet, allow=tuple(allow or ()))
        where = out or str(Path("answers") / asked.name.replace("/", "-"))
        if where.startswith("memory:"):
            raise RecipeError(
                f"--out came as {where}, which is gone when the command ends; name a folder or a URL"
            )
        done = _label(Order(asked, where, settings, engine, workers, repair))
    if done is None:  # another process speaks
        return
    if as_json:
        output.print_json(done)
    else:
        _print(done, asked, settings.budget)


def _label(order: Order) -> dict[str, Any] | None:
    from tutelage import labelling as labels
    from tutelage.answers import Place
    from tutelage.engine import Runtime, StopRequest
    from tutelage.labelling.prepare import refuse_run

    with StopRequest() as stop, ExitStack() as held:
        runtime = Runtime(cpu=order.asked.cpu, quiet=order.asked.quiet, stop=stop)
        study = order.asked.study()
        refuse_run(Place(order.out))
        held.enter_context(labels.working_at(Place(order.out), runtime, doing="a labelling"))
        stated = labels.prepare(study, order.out, order.settings, runtime)
        work = stated.labelling
        if order.repair:
            found = labels.repair(work)
            output.say("\n".join(found) or "every file is as it was written")
            return labels.finish(stated)
        if work.runtime.is_main and not order.asked.quiet:
            _state(stated)
            if not work.missing():
                output.say(
                    "every answer is there; of files only the sizes were looked at (--repair reads them)"
                )
        if order.engine == "ray":
            _on_ray(order, work, stop)
        else:
            work.run()
            work.runtime.wait()
        return labels.finish(stated) if work.runtime.is_main else None


def _on_ray(order: Order, work: Labelling, stop: StopRequest) -> None:
    from tutelage.labelling.ray_engine import label_on_ray

    missing, clock = work.missing(), time.perf_counter()
    if missing:
        make, quiet = partial(_work, order), order.asked.quiet
        label_on_ray(missing, make, workers=order.workers, quiet=quiet, stop_asked=lambda: stop.asked)
        work.spend(clock, "ray")


def _work(order: Order) -> Labelling:
    """What a worker on another machine does."""
    from tutelage.engine import Runtime
    from tutelage.labelling import prepare

    runtime = Runtime(cpu=order.asked.cpu, quiet=True)
    return prepare(order.asked.study(), order.out, order.settings, runtime).labelling


def _state(stated: Stated) -> None:
    """Say what will be stored, and what that costs in error, before it is."""
    from tutelage.report.numbers import size

    chosen, work = stated.candidate, stated.labelling
    about = "" if chosen.exact else "about "
    output.say(f"{work.examples:,} answers as {chosen.form.text}, {about}{size(chosen.nbytes)} in all")
    for temperature, error in chosen.errors.items():
        output.say(
            f"expected at T = {temperature:g}: KL {error.kl:.2g} nats, gradient off by {error.gradient:.1%} "
            f"of its norm, by {error.bias:.1%} on average"
        )


def _print(done: Mapping[str, Any], asked: Asked, budget: float | None) -> None:
    from tutelage.report.numbers import counted, size

    lines = [
        f"{done['examples']:,} answers as {done['form']} in {done['out']}",
        "",
        f"Size    {size(done['bytes'])} in {counted(done['shards'], 'file')}, "
        f"{done['bytes_per_row']:.1f} bytes a row",
    ]
    for temperature, error in done["measured"].items():
        stated = done["stated"][temperature]
        lines.append(
            f"T = {temperature}   KL {error['kl']:.2g} nats (expected {stated['kl']:.2g}), gradient off by "
            f"{error['gradient']:.1%} (expected {stated['gradient']:.1%}), on average by {error['bias']:.1%} "
            f"({stated['bias']:.1%})"
        )
    if budget is not None and done["bytes"] > budget:
        over = done["bytes"] / budget - 1
        lines.append(f"This is {over:.1%} more than the budget: these answers pack worse than the sample did")
    words = ["tutelage", "run", *asked.words(), "--answers", done["out"]]
    output.print_rich(*lines, "")
    output.print_text(f"Train with them: {shlex.join(words)}")
