"""What a tuning came to, and the run that judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.runs import Run, run
from tutelage.studies import Study

if TYPE_CHECKING:
    pass

__all__ = ["Tuned"]


@dataclass(frozen=True)
class Tuned:
    """What a tuning came to.

    Args:
        best: the student's values, by key.
        control: the control's, by key; empty where it has nothing to tune.
        results: everything, as `trials.json` holds it.
        out: the folder.
    """

    best: Mapping[str, Any]
    control: Mapping[str, Any]
    results: Mapping[str, Any]
    out: Path
    _study: Callable[..., AbstractContextManager[Study]] = field(repr=False)
    _cpu: bool = field(repr=False, default=False)

    @property
    def value(self) -> float:
        """The student's metric on validation, the mean over further seeds."""
        return float(self.results["sides"]["student"]["value"])

    @property
    def report(self) -> Path:
        """The page."""
        return self.out / "tune.html"

    @property
    def recipe(self) -> Path | None:
        """The chosen recipe; None where a call of `distill` was tuned."""
        path = self.out / "recipe.yaml"
        return path if path.exists() else None

    def run(
        self,
        out: str | Path | None = None,
        *,
        test: Any = None,
        seeds: int | None = None,
        resume: bool = False,
        quiet: bool = False,
    ) -> Run:
        """Train student and control with what was chosen for each, and judge them.

        Args:
            out: the run's folder; the next free one by default.
            test: of a tuned call of `distill`, the split that results are reported on, in place of the one
                that `tune` was given and did not read.
            seeds: how many; the recipe's, or 3, by default.
            resume: go on with a run that was stopped.
            quiet: show no progress.
        """
        with self._study(test=test, seeds=seeds) as study:
            return run(study, Path(out) if out else None, resume=resume, quiet=quiet, cpu=self._cpu)
