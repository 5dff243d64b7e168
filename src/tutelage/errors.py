"""What tutelage raises. Each message says what came, what was expected and what to do.

::

    TutelageError
    ├── RecipeError         ValueError       a recipe's key, value or file is wrong
    ├── UnknownName         ValueError       a name that is not in its folder; the nearest legal one is named
    ├── DataError           ValueError       empty sets, labels out of range, batches of an unknown kind
    ├── ModelError          ValueError       a network whose answer or width does not fit
    ├── CheckpointError     ValueError       truncated, foreign or unsafe weights
    ├── AnswersError        ValueError       stored answers that are missing, damaged or of another teacher
    ├── OutputError         OSError          the output folder is taken, full or read-only
    ├── NonFiniteLoss       ArithmeticError  a term became NaN or infinite
    ├── MissingExtra        ImportError      an optional package is not installed
    └── Interrupted                          stopped on request, after a checkpoint

    TutelageWarning         UserWarning      the run goes on, and the report says so
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os import PathLike

__all__ = [
    "AnswersError",
    "CheckpointError",
    "DataError",
    "Interrupted",
    "MissingExtra",
    "ModelError",
    "NonFiniteLoss",
    "OutputError",
    "RecipeError",
    "TutelageError",
    "TutelageWarning",
    "UnknownName",
    "first_line",
    "nearest",
]


class TutelageError(Exception):
    """The root of every error that tutelage raises on purpose."""


class RecipeError(TutelageError, ValueError):
    """A recipe cannot be read, or does not say what it must."""


class DataError(TutelageError, ValueError):
    """Data that cannot teach or measure: empty, mislabelled or of an unknown kind."""


class ModelError(TutelageError, ValueError):
    """A network whose answer, width or number of classes does not fit its use."""


class CheckpointError(TutelageError, ValueError):
    """A file of weights or state that is truncated, foreign or unsafe to load."""


class AnswersError(TutelageError, ValueError):
    """Stored answers that are missing, damaged, of another teacher or of another form than a loss needs."""


class OutputError(TutelageError, OSError):
    """The output folder cannot be used."""


class NonFiniteLoss(TutelageError, ArithmeticError):
    """A loss term became NaN or infinite; the last good checkpoint is kept."""


class Interrupted(TutelageError):
    """The run was asked to stop, and stopped after writing a checkpoint.

    Args:
        said: where it stopped.
        folder: of the run; None where there is none, or it is not known there.
    """

    def __init__(self, said: str, *, folder: PathLike[str] | None = None) -> None:
        super().__init__(said)
        self.folder = folder


class MissingExtra(TutelageError, ImportError):
    """An optional package is missing.

    Args:
        package: the package that could not be imported.
        extra: the extra of tutelage that installs it; None for a package that is installed by itself.
        purpose: what it is needed for.
    """

    def __init__(self, package: str, *, extra: str | None, purpose: str) -> None:
        wanted = package if extra is None else f"'tutelage[{extra}]'"
        super().__init__(f"{purpose} needs {package!r}. Install it with: pip install {wanted}")


class UnknownName(TutelageError, ValueError):
    """A name that its folder does not have.

    Args:
        kind: what was looked up, in the user's words ("loss", "layer", "key").
        came: the name as it came.
        legal: the names that would have done.
        hint: a sentence to close with.
    """

    def __init__(self, kind: str, came: str, legal: Iterable[str], *, hint: str = "") -> None:
        names = list(legal)
        close = nearest(came, names)
        did_you_mean = f" Nearest: {', '.join(map(repr, close))}." if close else ""
        choices = f" Known: {', '.join(names)}." if 0 < len(names) <= 30 else ""
        super().__init__(f"unknown {kind} {came!r}.{did_you_mean}{choices}{' ' + hint if hint else ''}")


class TutelageWarning(UserWarning):
    """Something that the user should know, and that does not stop the run."""


def first_line(error: BaseException) -> str:
    """What another library's error says, short enough for a sentence: its first line, no full stop."""
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0].strip().rstrip(".")


def nearest(came: str, legal: Iterable[str], *, count: int = 3) -> list[str]:
    """The legal names nearest to `came`, best first; letter case does not matter."""
    by_lower = {name.lower(): name for name in legal}
    found = difflib.get_close_matches(came.lower(), by_lower, n=count, cutoff=0.5)
    inside = [low for low in by_lower if came.lower() and (came.lower() in low) and low not in found]
    return [by_lower[low] for low in [*found, *inside][:count]]
