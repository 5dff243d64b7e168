from __future__ import annotations

import itertools

import pytest

from tutelage.data import Showing
from tutelage.errors import RecipeError, TutelageError, UnknownName
from tutelage.recipes import build
from tutelage.recipes.assistants import between
from tutelage.recipes.form import Named
from tutelage.recipes.load import parse
from tutelage.studies import Together
from tutelage.studies.compared import differences, total_steps
from tutelage.studies.placebo import can_have_placebo

SGD = {"student": {"sgd": {"lr": 0.1}}}
SOFT = {"offline": {"matches": [{"loss": "response.SoftTarget", "temperature": 2.0}]}}
STAGE = {"scheme": SOFT, "optimizers": SGD, "train": {"epochs": 3, "batch_size": 16}}


def teacher(*widths: int):
    model = {"mlp": {"widths": list(widths)}}
    return {"frozen": {"model": model, "train": {"epochs": 1}, "optimizers": SGD}}


def widths(study) -> list[list[int]]:
    return [one["model"]["mlp"]["widths"] for one in study.resolved["networks"].values()]


def test_sizes_are_chosen_between_teacher_and_student(make):
    assert widths(make(teacher=teacher(64), assistants={"count": 3, "by": "width"})) == [[32], [16], [8]]
    even = {"count": 3, "by": "width", "spacing": "even"}
    assert widths(make(teacher=teacher(64), assistants=even)) == [[49], [34], [19]]
    deep = make(teacher=teacher(*[4] * 9), assistants={"count": 1, "by": "depth"})
    assert widths(deep) == [[4, 4, 4]]


def test_parameters_are_spaced_by_equal_ratios(make):
    study = make(teacher=teacher(256), assistants={"count": 2})
    chain = [256, *(one[0] for one in widths(study)), 4]
    counts = [4 * width + width + 3 * width + 3 for width in chain]
    ratios = [one / other for one, other in itertools.pairwise(counts)]
    assert max(ratios) / min(ratios) < 1.2


def test_lists_change_length_and_numbers_on_the_way():
    large = Named(
        name="thin_convnet", settings={"widths": [16, 16, 32, 32, 64, 64, 64, 64], "batch_norm": True}
    )
    small = Named(name="thin_convnet", settings={"widths": [16, 16], "batch_norm": True})
    (middle,) = between(
        large, small, 1, spacing="geometric", size=lambda model: len(model.settings["widths"])
    )
    assert middle.settings == {"widths": [16, 24, 36, 36], "batch_norm": True}


def test_the_resolved_recipe_is_a_chain_by_hand_and_builds_again(make):
    study = make(teacher=teacher(64), assistants={"count": 2, "by": "width"})
    assert "assistants" not in study.resolved
    again = build(parse(dict(study.resolved)), "again")
    assert again.resolved == study.resolved
    walk = [(stage.student, stage.teacher) for _, stage in again.first.trainings]
    assert walk == [("assistant1", "plan"), ("assistant2", "assistant1"), ("student", "assistant2")]


def test_sizes_given_by_hand(make):
    study = make(assistants={"models": [{"mlp": {"widths": [6]}}, {"mlp": {"widths": [5, 5]}}]})
    assert study.resolved["networks"]["assistant2"] == {"model": {"mlp": {"widths": [5, 5]}}}


def test_all_guide_and_some_are_left_out(make):
    study = make(teacher=teacher(64), assistants={"count": 2, "by": "width", "guided": "all", "drop": 1})
    first, second, last = (stage for _, stage in study.first.trainings)
    assert first.teacher == "plan"
    assert second.teacher == Together(("plan", "assistant1"), 1, 2.0)
    assert last.teacher == Together(("plan", "assistant1", "assistant2"), 1, 2.0)


def test_the_control_is_the_student_alone_with_as_many_steps(make):
    study = make(
        teacher=teacher(64), assistants={"count": 2, "by": "width"}, also={"direct": {"stages": [STAGE]}}
    )
    assert list(study.arms["control"].networks) == list(study.arms["direct"].networks) == ["student"]
    assert [total_steps(study.arms[name]) for name in ("control", "student", "direct")] == [18, 18, 18]
    assert study.first.order_of(2) == 0  # the same order of examples as the control's
    said = differences(study, "student", "control")
    assert any("36 steps of assistant1, assistant2" in one for one in said)
    assert not any(one.startswith(("steps", "schedules")) for one in said)
    assert not can_have_placebo(study)


def test_assistants_that_are_measured_have_controls_of_their_own(make):
    study = make(
        teacher=teacher(64),
        assistants={"count": 1, "by": "width"},
        outcomes={"student": {}, "middle": {"network": "assistant1"}},
    )
    assert [stage.student for _, stage in study.arms["control"].trainings] == ["assistant1", "student"]


def test_pairs_of_outcomes_may_be_compared(make):
    study = make(also={"direct": {"stages": [STAGE]}}, compare=[["student", "direct"]])
    assert study.compare == [("student", "direct")]
    with pytest.raises(UnknownName, match="direct"):
        make(also={"direct": {"stages": [STAGE]}}, compare=[["student", "dierct"]])


WRONG = {
    "another kind": ({"student": {"model": {"linear": {}}}}, "one kind|model"),
    "as large": ({"teacher": teacher(4), "assistants": {"count": 1}}, "one kind"),
    "too many": ({"teacher": teacher(6), "assistants": {"count": 3, "by": "width"}}, "ask for fewer"),
    "both": ({"assistants": {"count": 1, "models": ["mlp"]}}, "either"),
    "two stages": ({"teacher": teacher(64), "stages": [STAGE, STAGE]}, "by hand"),
    "no network": ({"teacher": {"virtual": {}}}, "frozen"),
    "no depth": ({"assistants": {"count": 1, "by": "dept"}}, "depth"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_a_chain_is_refused(make, case):
    changes, why = WRONG[case]
    with pytest.raises(TutelageError, match=why):
        make(**{"assistants": {"count": 1}, **changes})


def test_a_network_that_never_learnt_teaches_nobody(make):
    networks = {"middle": {"model": {"mlp": {"widths": [5]}}}}
    untrained = [{**STAGE, "teacher": "middle"}, {**STAGE, "student": "middle"}]
    with pytest.raises(RecipeError, match="student: middle"):
        make(networks=networks, stages=untrained)
    with pytest.raises(RecipeError, match="teacher: before"):
        make(networks=networks, stages=[{**STAGE, "student": "middle"}, {**STAGE, "teacher": "before"}])
    with pytest.raises(UnknownName, match="middle"):
        make(networks=networks, stages=[{**STAGE, "student": "midle"}])
    with pytest.raises(RecipeError, match="leave at least one"):
        make(stages=[{**STAGE, "teacher": {"by": ["plan"], "drop": 1}}])


def test_views_of_the_teacher_and_mixes(make):
    mixed = {**STAGE, "train": {"epochs": 3, "mixup": 1.0}}
    study = make(stages=[mixed])
    assert isinstance(study.first.stages[0].transform, Showing)
    assert study.arms["control"].stages[0].transform is None
    assert not can_have_placebo(study)
    assert any("mixup=1.0" in one for one in differences(study, "student", "control"))
    with pytest.raises(RecipeError, match="HardLabel"):
        make(stages=[{**mixed, "scheme": {"offline": {"matches": [{"loss": "response.HardLabel"}]}}}])
    with pytest.raises(RecipeError, match="no augmentation"):
        make(stages=[{**STAGE, "train": {"epochs": 1, "teacher_sees": "fixed"}}])
    assert (
        make(stages=[{**STAGE, "train": {"epochs": 1, "teacher_sees": "plain"}}]).first.stages[0].transform
        is None
    )
