"""What every scheme has: what it says of itself, modules to train, a dry run, turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tutelage.data import Source
from tutelage.match import Match
from tutelage.modes import evaluating
from tutelage.schemes.declared import Declared, terms_of
from tutelage.schemes.learner import Learner
from tutelage.types import Batch, Turn

__all__ = ["Scheme"]


class Scheme(ABC):
    """Who moves on a batch, by which terms.

    A scheme's `__init__` says what it needs by the names of its parameters: `teacher`; `matches`; `networks`,
    all networks of the arm by name; a network of its own, annotated `nn.Module`, by its name (`student`,
    `critic`, `generator` …); what the task offers it (`rollout`); anything else is an option of its recipe.
    """

    @classmethod
    def declare(cls, matches: Sequence[Match], networks: Sequence[str], **options: Any) -> Declared:  # noqa: ARG003
        """What it says of itself, from what a recipe says and before anything is built.

        Args:
            matches: the terms.
            networks: the names of the arm's networks.
            options: the rest of its settings.
        """
        asks = any(match.needs_teacher for match in matches)
        return Declared(asks="data" if asks else "nobody", terms=terms_of(matches))

    @classmethod
    def without_teacher(cls, settings: Mapping[str, Any]) -> dict[str, Any] | None:  # noqa: ARG003
        """The settings with which this same scheme trains without a teacher, its matches apart.

        The control walks the student's stages with what needs a teacher taken out. Matches that look at one
        are taken out by whoever asks. None where nothing but a student and its labels is left, which is
        `Alone`.
        """
        return None

    @property
    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained and stored, by name; the first student first."""

    @property
    @abstractmethod
    def learners(self) -> Sequence[Learner]:
        """Those of its networks that learn by matches."""

    @property
    def matches(self) -> list[Match]:
        """The matches of all learners."""
        return [match for learner in self.learners for match in learner.each]

    @abstractmethod
    def turns(self) -> Sequence[Turn]:
        """The moves on each batch, in order."""

    def prepare(self, batch: Batch) -> None:
        """A dry run on one batch: pair stages, fit projectors, refuse networks that do not fit each other.

        Raises:
            ModelError: student and teacher have different numbers of classes.
        """
        with torch.no_grad(), evaluating(*(learner.network for learner in self.learners)):
            self._fit(batch)

    @abstractmethod
    def _fit(self, batch: Batch) -> None:
        """The dry run, in eval mode and without a gradient."""

    def made(self) -> Source | None:
        """What it made for the next stage: images, votes, text; None where it makes nothing."""
        return None
