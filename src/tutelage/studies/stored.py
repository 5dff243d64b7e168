"""What can be refused, or must be said, of stored answers before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tutelage.answers import Place
from tutelage.errors import AnswersError
from tutelage.files import read_json
from tutelage.match import Match
from tutelage.studies.differences import differences
from tutelage.studies.study import Study, fresh_networks
from tutelage.studies.views import Shown, said, shown
from tutelage.teachers import Stored, Teacher

__all__ = ["about_answers", "check_answers", "other_teacher"]

TEACHER_MARK = "teacher.json"
"""Beside answers: the recipe of the teacher that was trained there."""

_LOOKED_UP = 8  # examples of each split and view


def check_answers(study: Study) -> None:
    """Refuse answers that some loss, view or split of a study will ask for in vain.

    Raises:
        AnswersError: a temperature or the rest of the logits that was not kept, views that were not shown,
            examples of other data.
    """
    for teacher in _stored(study):
        _check_losses(study, teacher)
        reported = study.problem.reported
        parts = [part for part in shown(study) if part.name == "train" or part.source is reported]
        _check_views(teacher, parts)
        _check_examples(teacher, parts)


def about_answers(study: Study) -> list[str]:
    """What a reader of the results should know of the answers that a study learns from."""
    found = []
    for teacher in _stored(study):
        held = teacher.answers.manifest.data
        parts = {part.name: part.source for part in shown(study)}
        other = [
            name
            for name in ("validation", "test")
            if name in held and name in parts and held[name] != parts[name].fingerprint()
        ]
        if other:
            found.append(
                f"the answers at {teacher.answers.place.url} were made beside other {' and '.join(other)} "
                "data than these. What is measured on here may be what that teacher was trained on, so that "
                "its quality, and the student's, would be too good: label again with the recipe as it is now"
            )
    return found


def other_teacher(answers: str, resolved: Mapping[str, Any]) -> str | None:
    """What to say where a recipe names another teacher than the one that was trained beside its answers.

    Args:
        answers: their folder or URL.
        resolved: the recipe, its teacher among it.
    """
    mark = Place(answers).local
    if mark is None or not (mark / TEACHER_MARK).exists():
        return None
    held = read_json(mark / TEACHER_MARK).get("teacher")
    differ = list(differences(held, _plain(resolved.get("teacher")), "teacher", here="in the recipe"))
    if not differ:
        return None
    return (
        f"the answers at {answers} are of another teacher than the recipe names, and students learn from the "
        f"answers; it differs in {'; '.join(differ[:4])}{' …' if len(differ) > 4 else ''}"
    )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _stored(study: Study) -> list[Stored]:
    """The stored answers among a study's teachers; none while the teacher is still to be trained."""
    if not study.asks or study.plan.arms:
        return []
    return [one for one in study.plan.finish([]).modules() if isinstance(one, Stored)]


def _check_losses(study: Study, teacher: Stored) -> None:
    form, url = teacher.answers.form.text, teacher.answers.place.url
    for match in [] if form.startswith("dense") else _matches(study, teacher):
        if match.needs_all_classes:
            raise AnswersError(
                f"{match.name} needs all logits, and the answers at {url} are {form}, which keeps few of "
                "them; label again with --form dense:float16, or use response.SoftTarget"
            )
        if match.reads_teacher_logits:
            _check_temperature(match, teacher)


def _matches(study: Study, teacher: Teacher) -> list[Match]:
    stages = [(arm, stage) for arm in study.arms.values() if arm.teacher is None for _, stage in arm.asking]
    schemes = [stage.scheme(fresh_networks(arm, 0), teacher) for arm, stage in stages]
    return [match for scheme in schemes for match in scheme.matches]


def _check_temperature(match: Match, teacher: Stored) -> None:
    form, url = teacher.answers.form, teacher.answers.place.url
    asked = float(getattr(match.loss, "temperature", 1.0))
    if not form.serves(asked):
        raise AnswersError(
            f"{match.name} compares at temperature {asked:g}, which the answers at {url}, {form.text}, "
            "cannot serve: what was left out of them has another mass at another temperature. Use the "
            "temperature that they were made for, or label again with the recipe as it is now"
        )


def _check_views(teacher: Stored, parts: list[Shown]) -> None:
    """Refuse views of which not all were answered, by their seeds: a few examples look alike in any view."""
    asked = {
        (said(part.views.transform), part.views.view) for part in parts if part.views.transform is not None
    }
    held = {(how, view) for how, view in teacher.answers.manifest.views.get("shown", [])}
    if asked - held:
        raise AnswersError(
            f"the recipe shows {len(asked)} random views (one for each epoch and seed), and "
            f"{len(asked - held)} of them were not shown to the teacher whose answers are at "
            f"{teacher.answers.place.url}, which hold {len(held)}; train for no more epochs and seeds than "
            "were labelled, with the same `augment`, or label again with the recipe as it is now"
        )


def _check_examples(teacher: Stored, parts: list[Shown]) -> None:
    """Look a few examples up, of each part that will be asked about."""
    answers = teacher.answers
    for part in parts:
        numbers = list(range(min(_LOOKED_UP, len(part.source))))
        try:
            answers.outputs(part.views[[numbers]][0])
        except AnswersError as error:
            if answers.manifest.data.get(part.name) == part.source.fingerprint():
                raise
            raise AnswersError(
                f"the answers at {answers.place.url} are to other {part.name} data than the recipe's; name "
                f"the folder that was made for these, or label them ({error})"
            ) from error
