"""`tutelage write`: text of a teacher's own, for students to train on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.next_run import next_run
from tutelage.cli.options import Allow, AsJson, Asked, Cpu, Quiet, RecipeName, Set

if TYPE_CHECKING:
    from tutelage.writing import WriteSettings, Writing

__all__ = ["write"]


def write(
    recipe: RecipeName,
    changes: Set = None,
    allow: Allow = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Where the text goes: a folder, or a URL such as s3://…; by default written/ and the "
            "recipe's name.",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(metavar="N", help="Where a text is cut off.")] = 64,
    temperature: Annotated[
        float, typer.Option(help="Of the draws; 0 takes the likeliest token each time.")
    ] = 0.0,
    top_p: Annotated[
        float, typer.Option(metavar="SHARE", help="Draw from the likeliest tokens of this share.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    samples: Annotated[int, typer.Option(metavar="N", help="Different texts of each prompt.")] = 1,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A .txt with a prompt a line, or a Parquet, CSV or JSON file with a column prompt or text; "
            "by default the openings of the recipe's training documents.",
            show_default=False,
        ),
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(metavar="N", help="Of an opening.")] = 32,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Prompts that are continued at once.")] = 16,
    shard_texts: Annotated[int, typer.Option(metavar="N", help="Texts in a file.")] = 256,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Check every file of finished text, and make damaged ones again."),
    ] = False,
    quiet: Quiet = False,
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Let a language model go on from prompts, and keep what it writes for students to train on.

    A killed or stopped call goes on where it was when it is made again. What is drawn depends on the seed and
    the prompt, and on neither batches nor processes.
    """
    with output.only_results():
        from tutelage.answers import Sampling
        from tutelage.writing import WriteSettings

        settings = WriteSettings(
            sampling=Sampling(tokens, temperature, top_p, seed),
            samples=samples,
            prompts=prompts,
            prompt_tokens=prompt_tokens,
            batch_size=batch_size,
            shard_texts=shard_texts,
        )
        asked = Asked(recipe, tuple(changes or ()), cpu=cpu, quiet=quiet, allow=tuple(allow or ()))
        where = out or str(Path("written") / asked.name.replace("/", "-"))
        done = _write(asked, where, settings, repair=repair)
    if done is None:  # another process speaks
        return
    if as_json:
        output.print_json(done)
    else:
        _print(done)


def _write(asked: Asked, out: str, settings: WriteSettings, *, repair: bool) -> dict[str, Any] | None:
    from tutelage import writing as texts
    from tutelage.answers import Place
    from tutelage.engine import Runtime, StopRequest
    from tutelage.labelling.prepare import refuse_run, working_at

    with StopRequest() as stop, ExitStack() as held:
        runtime = Runtime(cpu=asked.cpu, quiet=asked.quiet, stop=stop)
        study = asked.study()
        refuse_run(Place(out))
        held.enter_context(working_at(Place(out), runtime, doing="a writing"))
        work = texts.prepare(study, out, settings, runtime)
        if repair:
            output.say("\n".join(texts.repair(work)) or "every file is as it was written")
        else:
            if runtime.is_main and not asked.quiet:
                _state(work)
            work.run(label="write")
            runtime.wait()
        if not runtime.is_main:
            return None
        return texts.finish(work) | {"run": next_run(asked, work.study, out)}


def _state(work: Writing) -> None:
    """Say what will be written."""
    doubled = f" ({work.doubled:,} that came twice are left out)" if work.doubled else ""
    at_most = work.examples * work.settings.sampling.tokens
    output.say(
        f"{work.examples:,} texts after {len(work.prompts):,} prompts{doubled}, at most {at_most:,} tokens"
    )


def _print(done: Mapping[str, Any]) -> None:
    from tutelage.report.numbers import counted, size

    pace, varied = done["tokens_per_second"], done["distinct"]["4"]
    output.print_rich(
        f"{done['texts']:,} texts as {done['form']} in {done['out']}",
        "",
        f"Tokens  {done['tokens']:,}" + (f", {pace:,.1f} a second" if pace else ""),
        f"Ends    {done['finished']:,} texts were ended by the teacher, the others cut off",
        *([f"Variety {varied:.1%} of the runs of four words are different ones"] if varied else []),
        f"Size    {size(done['bytes'])} in {counted(done['shards'], 'file')}",
        "",
    )
    output.print_text(f"Train on it: {done['run']}")
