"""A language model of another vocabulary as a teacher."""

from __future__ import annotations

from functools import cache
from typing import Literal

from tutelage.errors import RecipeError
from tutelage.recipes.form import Spec
from tutelage.recipes.parts import Field
from tutelage.studies import TeacherPlan
from tutelage.tasks.language.across import Across
from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.vocabulary import Vocabulary

__all__ = ["AcrossSpec", "plan_across"]


class AcrossSpec(Spec):
    """A trained language model that reads texts by its own tokenizer; see `tasks.language.across.Across`.

    Args:
        path: a folder with its weights and its tokenizer, a GGUF file, or a name on the hub.
        answers: `places`, its logits where its tokens end with the student's; or `spans`, the probability of
            what lies between.
        dtype: of its weights.
    """

    path: str
    answers: Literal["places", "spans"] = "places"
    dtype: str = "float32"


def plan_across(spec: AcrossSpec, held: Field) -> TeacherPlan:
    """Read the network and its tokenizer, and tell it those of the task."""
    words = held.problem.network_options.get("words")
    if not isinstance(words, Vocabulary):
        raise RecipeError("teacher.across reads texts, and this task has none; take language.modelling")

    @cache
    def made() -> Across:
        network = transformers_causal(path=spec.path, dtype=spec.dtype)
        return Across(network, Vocabulary.of(spec.path, []), words, answers=spec.answers)

    return TeacherPlan(lambda _: made())
