"""Which knobs are the student's and which the control's, found by looking at what each changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.studies import Arm, Change, Study
from tutelage.studies.views import said
from tutelage.tuning.knobs import Knob
from tutelage.tuning.subjects import Subject

__all__ = ["Side", "sides_of"]


@dataclass(frozen=True)
class Side:
    """One of the two that are tuned.

    Args:
        name: `student` or `control`.
        outcome: its name in the study.
        knobs: what its trials vary.
    """

    name: str
    outcome: str
    knobs: Sequence[Knob]

    def arm(self, study: Study) -> Arm:
        """Its arm."""
        return study.arms[study.outcomes[self.outcome].arm]

    def network(self, study: Study) -> str:
        """The network of its arm that is judged."""
        return study.outcomes[self.outcome].network


def sides_of(subject: Subject, knobs: Sequence[Knob], base: Study) -> list[Side]:
    """The student's side, and the control's where there is one.

    A knob is the control's where it changes the control, and where the control may have another value than
    the student: a learning rate is, a temperature of the teacher's terms and the student's width are not.
    """
    student = [knob for knob in knobs if not knob.key.startswith("control.")]
    found = [Side("student", base.primary, student)]
    against = base.outcomes[base.primary].against
    if against is not None:
        found.append(Side("control", against, [knob for knob in knobs if _is_apart(subject, knob, against)]))
    return found


def _is_apart(subject: Subject, knob: Knob, control: str) -> bool:
    one, other = knob.inside()
    first, second = (_likeness(subject.study({knob.key: value}), control) for value in (one, other))
    if first == second:
        return False
    mixed = subject.joined({} if knob.key.startswith("control.") else {knob.key: one}, {knob.key: other})
    return _likeness(mixed, control) == second


def _likeness(study: Study, outcome: str) -> list[Any]:
    """What is known of an arm before it is trained, to hold it against another one."""
    arm = study.arms[study.outcomes[outcome].arm]
    found: list[Any] = [dict(arm.built_by), len(arm.source)]
    for part in arm.stages:
        if isinstance(part, Change):
            found.append((part.name, dict(part.settings), tuple(part.networks)))
        else:
            moved = {name: held.model_dump() for name, held in part.optimizers.items()}
            terms = [(term.text, term.weight) for term in part.declared.terms]
            transform = None if part.transform is None else said(part.transform)
            found.append((part.settings.model_dump(), moved, terms, transform, dict(part.draws)))
    return found
