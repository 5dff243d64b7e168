"""Which arms learn the lessons of a problem one after another."""

from __future__ import annotations

from tutelage.data import Source
from tutelage.studies.study import Study

__all__ = ["lesson_stages"]


def lesson_stages(study: Study, arm: str) -> list[int]:
    """The stages of an arm of which each adds the classes of one lesson, in the lessons' order.

    Args:
        study: whose.
        arm: its name.

    Returns:
        as many as there are lessons; none for an arm that learns them in another way, such as all at once.
    """
    lessons = study.problem.exam.lessons
    trainings = list(study.arms[arm].trainings)
    if len(lessons) < 2 or len(trainings) != len(lessons):
        return []
    learnt: set[int] = set()
    for (_, stage), lesson in zip(trainings, lessons, strict=True):
        new = _classes_of(study.arms[arm].source_of(stage)) - learnt
        if new != set(lesson):
            return []
        learnt |= new
    return [number for number, _ in trainings]


def _classes_of(source: Source | None) -> set[int]:
    """The classes that a source has examples of, where they are known."""
    labels = None if source is None else source.labels
    if labels is None or labels.ndim != 1 or labels.is_floating_point():
        return set()
    return set(labels[labels >= 0].tolist())
