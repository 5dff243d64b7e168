"""What a scheme says of itself before it is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from tutelage.balancing import Fixed
from tutelage.match import Match

__all__ = ["Asks", "Declared", "Student", "Term", "terms_of"]

Asks = Literal["data", "made", "nobody"]
"""What a scheme asks a teacher about: the data, what it makes itself, or nothing."""


@dataclass(frozen=True, slots=True)
class Student:
    """Something that a scheme hands over.

    Args:
        name: what to call it.
        network: the network that it is, or is a view of, by its name in the arm.
        view: network -> the part of it that is used, such as one that ends at an early exit; it answers,
            costs and is exported for itself alone. None for the whole network.
    """

    name: str
    network: str
    view: Callable[[nn.Module], nn.Module] | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """One term that a network learns by, in words that can be compared.

    Args:
        text: the loss with its settings, and its place.
        weight: what multiplies it, a number or in words.
        needs_teacher: whether it looks at a teacher.
        compares_items: whether items of a batch are compared with one another.
        layers: whether it looks at layers of the teacher, and not at its logits.
        labels: whether it may need labels; a term that only compares views or features does not.
    """

    text: str
    weight: float | str
    needs_teacher: bool
    compares_items: bool = False
    layers: bool = False
    labels: bool = True


@dataclass(frozen=True, slots=True)
class Declared:
    """What a scheme says of itself before it is built: read by runs, labelling, results and the report.

    Args:
        students: what is handed over.
        asks: what a teacher is asked about.
        terms: what is learnt by.
        makes: whether it makes something for the next stage: images, votes, text.
        turns: the names of its turns; by default those of the students' networks.
        passes: forward passes of a step in which its networks answer one another, without learning from them.
    """

    students: Sequence[Student] = (Student("student", "student"),)
    asks: Asks = "data"
    terms: Sequence[Term] = ()
    makes: bool = False
    turns: Sequence[str] | None = None
    passes: int = 0

    @property
    def turn_names(self) -> list[str]:
        """The names of its turns, in order."""
        held = self.turns if self.turns is not None else [student.network for student in self.students]
        return list(dict.fromkeys(held))


def terms_of(matches: Sequence[Match]) -> tuple[Term, ...]:
    """Matches, in words that can be compared."""
    return tuple(_term(match) for match in matches)


def _term(match: Match) -> Term:
    weight = match.weight.now if isinstance(match.weight, Fixed) else repr(match.weight)
    inside = match.needs_teacher and bool(match.hints or match.stages)
    labels = "labels" in match.loss.needs
    return Term(_said(match), weight, match.needs_teacher, match.loss.compares_items, inside, labels)


def _said(match: Match) -> str:
    """A match's loss with its settings, on one line, and its place."""
    where = [f"at {', '.join(match.guided)}"] if match.guided else []
    where += [f"labels {match.labels}"] if match.labels is not None else []
    where += [f"of classes {', '.join(map(str, match.classes))}"] if match.classes else []
    where += [f"gate {match.gate!r}"] if match.gate is not None else []
    return " ".join([*repr(match.loss).split(), *where])
