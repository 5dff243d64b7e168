"""Options that several verbs have, and what those say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tutelage.studies import Study

__all__ = ["Allow", "AsJson", "Asked", "Cpu", "Quiet", "RecipeName", "RunFolder", "Seeds", "Set", "said"]


def _allow(ctx: typer.Context, names: list[str] | None) -> list[str] | None:
    """Let the verb's recipe name these, until the verb is done."""
    from tutelage.trust import trusting

    ctx.with_resource(trusting(names or ()))
    return names


def said(ctx: typer.Context, changes: list[str] | None) -> list[str] | None:
    """A name of code that the user typed is one that may run."""
    from tutelage.trust import said_in, trusting

    ctx.with_resource(trusting(name for change in changes or () for name in said_in(change)))
    return changes


Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="MODULE",
        callback=_allow,
        help="Let the recipe name code of this module, package.module, which is then imported and run. May "
        "be given several times; what is typed in --set is allowed as it is.",
        show_default=False,
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else.")]

Cpu = Annotated[bool, typer.Option("--cpu", help="Stay on the CPU though there is an accelerator.")]

Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]

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
        callback=said,
        help="Set a value of the recipe: a dotted path and YAML, such as stages.0.train.epochs=5. May be "
        "given several times.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Asked:
    """What a verb was asked that works through a whole recipe; workers on other machines are sent it.

    Args:
        recipe: its name or path.
        changes: `key=value` each.
        seeds: how many, instead of the recipe's.
        cpu: stay on the CPU.
        quiet: show no progress.
        allow: modules that the recipe may name.
    """

    recipe: str
    changes: Sequence[str] = ()
    seeds: int | None = None
    cpu: bool = False
    quiet: bool = False
    allow: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What to call the recipe."""
        from tutelage.recipes import name_of

        return name_of(self.recipe)

    def words(self) -> list[str]:
        """The same on a command line."""
        words = [self.recipe, *(word for change in self.changes for word in ("--set", change))]
        words += [word for name in self.allow for word in ("--allow", name)]
        words += ["--seeds", str(self.seeds)] if self.seeds is not None else []
        return [*words, "--cpu"] if self.cpu else words

    def study(self) -> Study:
        """Everything that the recipe names, with the changes."""
        from tutelage.recipes import build, load
        from tutelage.trust import said_in

        trust = [*self.allow, *(name for change in self.changes for name in said_in(change))]
        return build(load(self.recipe, changes=self.changes), self.name, seeds=self.seeds, trust=trust)
