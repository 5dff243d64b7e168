"""What is settled before the first text: who writes, and after which prompts."""

from __future__ import annotations

from pathlib import Path

from tutelage.answers import Place
from tutelage.engine import Runtime
from tutelage.errors import ModelError, RecipeError
from tutelage.labelling.prepare import refuse_run, teacher_for
from tutelage.studies import Study
from tutelage.teachers import Frozen
from tutelage.writing.settings import WriteSettings
from tutelage.writing.writing import Writing

__all__ = ["prepare"]


def prepare(study: Study, out: str | Path, settings: WriteSettings, runtime: Runtime) -> Writing:
    """Train the teacher or read it, and say what it will write.

    Args:
        study: whose teacher writes.
        out: the folder of the text, or its URL.
        settings: prompts, and how text is drawn.
        runtime: where.

    Raises:
        RecipeError: a task without text.
        ModelError: a teacher that is no single network, or does not write.
        DataError: there are no prompts.
        AnswersError: other answers lie there already.
    """
    writer = study.problem.writer
    if writer is None:
        raise RecipeError(
            "the recipe's task has no text that a network could write; take language.modelling or "
            "text.translation, or keep answers with `tutelage label`"
        )
    if study.teacher is None:
        raise RecipeError("the recipe has no teacher who could write; add `teacher: …`")
    place = Place(out)
    refuse_run(place)
    teacher, seconds = teacher_for(study, place, runtime)
    if not isinstance(teacher, Frozen):
        raise ModelError(
            f"{type(teacher).__name__} is no single network, and one network writes a text; give a teacher "
            "`frozen`"
        )
    work = Writing(study, teacher, writer, place, runtime=runtime, settings=settings, train_seconds=seconds)
    if runtime.is_main:
        work.promise().begin(place)
        if place.local is not None:
            study.problem.write_files(place.local)
    runtime.wait()
    return work
