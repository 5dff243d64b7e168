"""`tutelage select`: the training documents from which there is most to learn."""

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
    from tutelage.selecting import SelectSettings

__all__ = ["select"]


def select(
    recipe: RecipeName,
    changes: Set = None,
    allow: Allow = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where the documents go; by default selected/ and the recipe's name.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[float, typer.Option(metavar="SHARE", help="Of the tokens, in the best documents.")] = 0.5,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The small network that the teacher is held against: a folder, a GGUF file or a hub name; "
            "by default the recipe's student, trained on all documents by their labels.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Rows that a network is shown at once.")] = 8,
    shard_documents: Annotated[
        int, typer.Option(metavar="N", help="Documents whose scores are in a file.")
    ] = 64,
    quiet: Quiet = False,
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Keep the training documents that the teacher finds likelier than a small network does.

    A killed or stopped call goes on where it was when it is made again; another --keep takes the scores that
    are there.
    """
    with output.only_results():
        from tutelage.selecting import SelectSettings

        settings = SelectSettings(
            keep=keep, reference=reference, batch_size=batch_size, shard_documents=shard_documents
        )
        asked = Asked(recipe, tuple(changes or ()), cpu=cpu, quiet=quiet, allow=tuple(allow or ()))
        where = out or str(Path("selected") / asked.name.replace("/", "-"))
        done = _select(asked, where, settings)
    if done is None:  # another process speaks
        return
    if as_json:
        output.print_json(done)
    else:
        _print(done)


def _select(asked: Asked, out: str, settings: SelectSettings) -> dict[str, Any] | None:
    from tutelage import selecting
    from tutelage.answers import Place
    from tutelage.engine import Runtime, StopRequest
    from tutelage.labelling.prepare import refuse_run, working_at

    with StopRequest() as stop, ExitStack() as held:
        runtime = Runtime(cpu=asked.cpu, quiet=asked.quiet, stop=stop)
        study = asked.study()
        refuse_run(Place(out))
        held.enter_context(working_at(Place(out), runtime, doing="a selection"))
        work = selecting.prepare(study, out, settings, runtime)
        if runtime.is_main and not asked.quiet:
            output.say(f"{work.examples:,} documents to score")
        work.run(label="select")
        runtime.wait()
        if not runtime.is_main:
            return None
        return selecting.finish(work) | {"run": next_run(asked, study, out)}


def _print(done: Mapping[str, Any]) -> None:
    share = done["kept_tokens"] / max(1, done["tokens"])
    output.print_rich(
        f"{done['kept']:,} of {done['documents']:,} documents in {done['out']}",
        "",
        f"Tokens  {done['kept_tokens']:,} of {done['tokens']:,}, {share:.1%}",
        f"Scores  {done['threshold']:.3f} nats a token or more; {done['kept_score']:.3f} on average, "
        f"{done['score']:.3f} of all",
        "",
    )
    output.print_text(f"Train on it: {done['run']}")
