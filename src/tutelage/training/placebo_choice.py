"""Whether a study gets a placebo, once its teacher is there."""

from __future__ import annotations

from tutelage.engine import Runtime
from tutelage.studies import Study
from tutelage.studies.placebo import can_have_placebo, pays, refuse_placebo, with_placebo
from tutelage.training.classroom import Classroom

__all__ = ["placebo_beside"]


def placebo_beside(study: Study, classroom: Classroom, runtime: Runtime) -> Study:
    """The study with a placebo, if it was asked for, or is cheap; as it is elsewhere.

    Raises:
        ModelError: a placebo was asked for where there can be none.
    """
    if study.placebo is False or not can_have_placebo(study):
        refuse_placebo(study)
        return study
    teacher = classroom.finished()
    if teacher.moves or teacher.heeds or teacher.reads_labels:
        return study
    cheap = study.placebo or runtime.share(pays(study, teacher, runtime.device))
    return with_placebo(study) if cheap else study
