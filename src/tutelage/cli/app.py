"""The verbs, put together, and what becomes of errors."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import tutelage
from tutelage.cli import output
from tutelage.cli.check import check
from tutelage.cli.compare import compare
from tutelage.cli.compress import compress
from tutelage.cli.evaluate import evaluate
from tutelage.cli.export import export
from tutelage.cli.label import label
from tutelage.cli.list import list_names
from tutelage.cli.report import report
from tutelage.cli.run import run
from tutelage.cli.select import select
from tutelage.cli.show import show
from tutelage.cli.tune import tune
from tutelage.cli.write import write
from tutelage.errors import Interrupted, RecipeError, TutelageError, UnknownName

__all__ = ["app", "main"]

_WRONG_USE = (RecipeError, UnknownName)


class _Verbs(TyperGroup):
    """Errors that we raise on purpose become one message and an exit status; others keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        if not sys.stderr.isatty():  # bars are for terminals
            os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        with warnings.catch_warnings():
            warnings.showwarning = output.show_warning
            try:
                return super().invoke(ctx)
            except TutelageError as error:
                speak = output.say_stop if isinstance(error, Interrupted) else output.say
                speak(f"error: {error}", style="bold red")
                raise typer.Exit(_status(error)) from error
            except BrokenPipeError as error:
                raise typer.Exit(1) from error
            except (OSError, MemoryError) as error:
                output.say(f"error: {_words(error)}", style="bold red")
                raise typer.Exit(1) from error


def _status(error: TutelageError) -> int:
    if isinstance(error, Interrupted):
        return 130
    return 2 if isinstance(error, _WRONG_USE) else 1


def _words(error: OSError | MemoryError) -> str:
    """What the system said, in words."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error or 'none is left'}); take smaller batches, or fewer data"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; see to the file, its rights or the connection, and try again"


app = typer.Typer(
    cls=_Verbs,
    name="tutelage",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: tutelage check vision/digits, then tutelage run vision/digits",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tutelage {tutelage.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Distil a teacher into a small student, and learn whether it helped.

    Results go to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong use, 130 stopped.
    """


app.command("list", epilog="Example: tutelage list losses")(list_names)
app.command(epilog="Examples: tutelage show vision/digits · tutelage show response.SoftTarget")(show)
app.command(epilog="Example: tutelage check vision/digits --set stages.0.train.epochs=5")(check)
app.command(epilog="Example: tutelage run vision/digits --set student.model.widths=[32] --seeds 3")(run)
app.command(epilog="Example: tutelage tune vision/digits --trials 30, then tutelage run runs/…/recipe.yaml")(
    tune
)
app.command(
    epilog="Example: tutelage label vision/digits --budget 1MB, then tutelage run vision/digits --answers …"
)(label)
app.command(
    epilog="Example: tutelage write language/smollm2_depth --tokens 64 --temperature 0.8 --out written"
)(write)
app.command(epilog="Example: tutelage select language/miniplm --keep 0.5 --out selected")(select)
app.command(epilog="Example: tutelage evaluate runs/vision-digits --split validation")(evaluate)
app.command(epilog="Example: tutelage export runs/vision-digits --format onnx")(export)
app.command(epilog="Example: tutelage report runs/vision-digits")(report)
app.command(epilog="Example: tutelage compare runs/t2 runs/t4 runs/t8 --out comparison.html")(compare)
app.command(epilog="Example: tutelage compress runs/vision-digits --change prune:share=0.3 --out runs/small")(
    compress
)


def main() -> None:
    """Run the command line."""
    app()
