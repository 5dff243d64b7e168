"""Assistants between teacher and student: their sizes, and the stages in which one is taught by the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tutelage.errors import RecipeError
from tutelage.recipes.form import Named, named
from tutelage.recipes.parts import Field, make_network
from tutelage.recipes.spec import AssistantsSpec, NetworkSpec, Recipe
from tutelage.recipes.stage_spec import StageSpec, TogetherSpec

__all__ = ["between", "with_assistants"]

_POINTS = 400  # on the way from the teacher's settings to the student's
_DEPTHS = ("depth", "layers")


def with_assistants(recipe: Recipe, field: Field) -> Recipe:
    """The recipe with its assistants written out, as networks and stages; as it is where it has none.

    Each assistant is trained as the student is, by the same scheme, optimisers and lengths. The student
    follows the last assistant, or the teacher and all assistants together.

    Args:
        recipe: what to do.
        field: the field and its problem.

    Raises:
        RecipeError: several trainings, so that it is not clear what an assistant learns by; teacher and
            student between which no sizes can be chosen.

    Source: Mirzadeh et al. 2020, "Improved Knowledge Distillation via Teacher Assistant" (TAKD), section 4;
    Son et al. 2021, "Densely Guided Knowledge Distillation using Multiple Teacher Assistants" (DGKD), with
    `guided: all`. Differences: sizes are chosen, the papers' by hand; each seed of a run trains assistants of
    its own, so that the interval holds their luck too.
    """
    spec = recipe.assistants
    if spec is None:
        return recipe
    trainings = [stage for stage in recipe.stages if isinstance(stage, StageSpec)]
    if len(trainings) != 1 or len(recipe.stages) != 1 or trainings[0].student != "student":
        raise RecipeError(
            "assistants are trained as the student is, by its one stage, and there are "
            f"{len(recipe.stages)}; write `networks` and `stages` with `student:` and `teacher:` by hand"
        )
    models = spec.models or _chosen(spec, _teacher_model(recipe), recipe.student.model, field)
    names = [f"assistant{number}" for number in range(1, len(models) + 1)]
    taken = set(names) & set(recipe.networks)
    if taken:
        raise RecipeError(f"networks: the names {sorted(taken)} are those of assistants; choose others")
    networks = {name: NetworkSpec(model=model) for name, model in zip(names, models, strict=True)}
    stages = [
        trainings[0].model_copy(
            update={"student": name, "teacher": _guides(spec, trainings[0], names[:number])}
        )
        for number, name in enumerate([*names, "student"])
    ]
    held = recipe.model_dump(mode="json", exclude_unset=True)
    held.pop("assistants")
    held["networks"] = held.get("networks", {}) | {
        name: one.model_dump(mode="json", exclude_unset=True) for name, one in networks.items()
    }
    held["stages"] = [_plain(stage) for stage in stages]
    return Recipe.model_validate(held)


def between(teacher: Named, student: Named, count: int, *, spacing: str, size: Any) -> list[Named]:
    """Models of sizes between two of one kind, the largest first.

    Their settings lie on the way from the teacher's to the student's: each number that differs goes from one
    to the other by equal ratios, and a list, such as the channels of each layer, changes its length as well.
    On that way the models are chosen whose sizes are nearest to those wanted; of several of one size the one
    nearest to the teacher.

    Args:
        teacher, student: models of one name whose settings differ in numbers.
        count: how many.
        spacing: `geometric` for equal ratios of sizes, `even` for equal differences.
        size: a model -> its size.

    Raises:
        RecipeError: the two are not of one kind, or there are not so many sizes between them.

    Example:
        >>> large, small = (Named(name="mlp", settings={"widths": [width]}) for width in (64, 4))
        >>> width = lambda model: model.settings["widths"][0]
        >>> found = between(large, small, 3, spacing="geometric", size=width)
        >>> [model.settings["widths"] for model in found]
        [[32], [16], [8]]
    """
    _check_one_kind(teacher, student)
    way = [_on_the_way(teacher, student, point / _POINTS) for point in range(_POINTS + 1)]
    sizes = [(size(model), model) for model in {str(model.settings): model for model in way}.values()]
    first, last = size(teacher), size(student)
    found: list[Named] = []
    for number in range(1, count + 1):
        wanted = _step(first, last, number / (count + 1), spacing)
        found.append(min(sizes, key=lambda pair: abs(math.log(pair[0] / wanted)))[1])
    ends = [teacher, *found, student]
    if len({str(model.settings) for model in ends}) < len(ends):
        said = ", ".join(f"{size(model):g}" for model in ends)
        raise RecipeError(
            f"assistants: {count} sizes were wanted between teacher and student, and two of them are the "
            f"same ({said}); ask for fewer, or give their `models`"
        )
    return found


def _chosen(spec: AssistantsSpec, teacher: Named, student: Named, field: Field) -> list[Named]:
    assert spec.count is not None
    sizes = {"depth": _depth, "width": _width, "parameters": lambda model: _parameters(model, field)}
    return between(teacher, student, spec.count, spacing=spec.spacing, size=sizes[spec.by])


def _teacher_model(recipe: Recipe) -> Named:
    held = None if recipe.teacher is None else recipe.teacher.settings.get("model")
    if recipe.teacher is None or recipe.teacher.name != "frozen" or held is None:
        raise RecipeError(
            "assistants: sizes are chosen between a `frozen` teacher's model and the student's; give their "
            "`models` where the teacher is no such network"
        )
    return named(held)


def _check_one_kind(teacher: Named, student: Named) -> None:
    differ = [key for key in teacher.settings if teacher.settings[key] != student.settings.get(key)]
    wrong = [key for key in differ if not _numbers(teacher.settings[key], student.settings.get(key))]
    if (
        teacher.name != student.name
        or teacher.settings.keys() != student.settings.keys()
        or wrong
        or not differ
    ):
        why = (
            f"their settings {', '.join(wrong)} differ in more than numbers"
            if wrong
            else f"they are {teacher.name} {teacher.settings} and {student.name} {student.settings}"
        )
        raise RecipeError(
            "assistants: sizes are chosen between two models of one kind whose settings differ in numbers, "
            f"and {why}; give the assistants' `models` instead of `count`"
        )


def _numbers(one: Any, other: Any) -> bool:
    """Whether both are whole numbers above 0, or lists of them."""
    if isinstance(one, list) and isinstance(other, list):
        return bool(one and other) and all(_numbers(each, 1) for each in (*one, *other))
    return all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in (one, other))


def _on_the_way(teacher: Named, student: Named, share: float) -> Named:
    settings = {
        key: held if held == student.settings[key] else _mixed(held, student.settings[key], share)
        for key, held in teacher.settings.items()
    }
    return Named(name=teacher.name, settings=settings)


def _mixed(one: Any, other: Any, share: float) -> Any:
    if not isinstance(one, list):
        return round(_step(one, other, share, "geometric"))
    length = round(_step(len(one), len(other), share, "geometric"))
    places = [0.5 if length == 1 else place / (length - 1) for place in range(length)]
    return [round(_step(_at(one, place), _at(other, place), share, "geometric")) for place in places]


def _at(values: Sequence[int], place: float) -> float:
    """The value at a place from 0, the first, to 1, the last."""
    return float(values[round(place * (len(values) - 1))])


def _step(first: float, last: float, share: float, spacing: str) -> float:
    if spacing == "even":
        return first + (last - first) * share
    return float(first * (last / first) ** share)


def _depth(model: Named) -> float:
    """Its layers: the length of its longest list, or a setting that is called so."""
    lists = [len(held) for held in model.settings.values() if isinstance(held, list)]
    said = [held for key, held in model.settings.items() if any(word in key for word in _DEPTHS)]
    return _one_size("depth", model, [*lists, *(held for held in said if isinstance(held, int))])


def _width(model: Named) -> float:
    """Its channels: the mean of its lists' numbers, or a setting that is called so."""
    lists = [sum(held) / len(held) for held in model.settings.values() if isinstance(held, list)]
    said = [held for key, held in model.settings.items() if "width" in key and isinstance(held, int)]
    return _one_size("width", model, [*lists, *said])


def _one_size(by: str, model: Named, found: Sequence[float]) -> float:
    if not found:
        raise RecipeError(
            f"assistants: the model {model.name} has no {by} among its settings {sorted(model.settings)}; "
            "choose sizes by parameters"
        )
    return max(found)


def _parameters(model: Named, field: Field) -> float:
    with torch.device("meta"):
        network = make_network(model, field)()
    return float(sum(parameter.numel() for parameter in network.parameters()))


def _guides(spec: AssistantsSpec, stage: StageSpec, before: Sequence[str]) -> str | TogetherSpec:
    if spec.guided == "before":
        return before[-1] if before else "plan"
    by = ["plan", *before]
    if len(by) == 1:
        return "plan"
    return TogetherSpec(by=by, drop=min(spec.drop, len(by) - 1), temperature=_temperature(stage))


def _temperature(stage: StageSpec) -> float:
    """The temperature of the stage's terms, where they have one."""
    matches: Sequence[Mapping[str, Any]] = stage.scheme.settings.get("matches") or []
    found = {float(match["temperature"]) for match in matches if "temperature" in match}
    return found.pop() if len(found) == 1 else 1.0


def _plain(stage: StageSpec) -> dict[str, Any]:
    """A stage as a recipe writes it; what was set is written, and who learns and teaches."""
    held = stage.model_dump(mode="json", exclude_unset=True)
    teacher = stage.teacher
    said = teacher if isinstance(teacher, str) else teacher.model_dump(mode="json")
    return held | {"student": stage.student, "teacher": said}
