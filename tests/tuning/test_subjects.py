from __future__ import annotations

import pytest

from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes import load
from tutelage.recipes.load import with_values
from tutelage.tuning.knobs import read_search
from tutelage.tuning.sides import sides_of
from tutelage.tuning.subjects import CallSubject, RecipeSubject, leaves

LR, CONTROL_LR = "stages.0.optimizers.student.adamw.lr", "control.optimizers.student.adamw.lr"
MATCH = "stages.0.scheme.offline.matches.0"
BOTH = [
    "stages.0.scheme.offline.matches=[{loss: response.SoftTarget, weight: 1}, {loss: response.HardLabel}]",
    "teacher.frozen.model={mlp: {widths: [8]}}",
]


def subject_of(*changes: str) -> RecipeSubject:
    recipe = load("vision/digits", changes=[*BOTH, *changes])
    return RecipeSubject(recipe.model_dump(mode="json", exclude_unset=True), "vision/digits")


@pytest.fixture(scope="module")
def digits() -> RecipeSubject:
    """`vision/digits`, whose control has an optimiser of its own."""
    return subject_of()


@pytest.fixture(scope="module")
def plain() -> RecipeSubject:
    """The same with a control that has what the student has."""
    return subject_of("control={}")


def knobs_of(subject, search):
    base = subject.study({})
    return {
        side.name: [k.key for k in side.knobs]
        for side in sides_of(subject, list(read_search(search).values()), base)
    }


def test_what_is_usual_is_found_in_the_recipe(digits):
    digits.tree["stages"][0]["scheme"]["offline"]["matches"][0]["temperature"] = 4
    try:
        assert digits.usual() == {
            f"{MATCH}.temperature": (1.0, 16, "log"),
            f"{MATCH}.weight": (0.0, 2.0),
            LR: (pytest.approx(0.0012), pytest.approx(0.12), "log"),
            CONTROL_LR: (pytest.approx(0.0012), pytest.approx(0.12), "log"),
        }
    finally:
        del digits.tree["stages"][0]["scheme"]["offline"]["matches"][0]["temperature"]


def test_a_learning_rate_is_the_controls_too_and_a_temperature_is_not(plain):
    found = knobs_of(plain, {f"{MATCH}.temperature": (1, 16), f"{MATCH}.weight": (0, 1), LR: (1e-3, 1e-1)})
    assert found == {"student": [f"{MATCH}.temperature", f"{MATCH}.weight", LR], "control": [LR]}


def test_a_control_with_an_optimiser_of_its_own_has_its_own_rate(digits):
    found = knobs_of(digits, {LR: (1e-3, 1e-1), CONTROL_LR: (1e-3, 1e-1)})
    assert found == {"student": [LR], "control": [CONTROL_LR]}


def test_the_students_width_is_not_the_controls_to_choose(plain):
    assert knobs_of(plain, {"student.model.mlp.widths": [[8], [16]]})["control"] == []


def test_the_controls_length_is_the_students_and_its_decay_its_own(plain):
    decay = "stages.0.optimizers.student.adamw.weight_decay"
    search = {"stages.0.train.epochs": (5, 9, "int"), decay: (1e-4, 1e-1)}
    assert knobs_of(plain, search)["control"] == [decay]  # it makes as many steps as the student


def test_student_and_control_stand_in_one_recipe_with_values_of_their_own(plain):
    tree = plain.joined_tree({LR: 0.02, f"{MATCH}.temperature": 3.0}, {LR: 0.05})
    assert tree["stages"][0]["optimizers"]["student"]["adamw"]["lr"] == 0.02
    assert tree["control"]["optimizers"]["student"]["adamw"] == {
        "lr": 0.05,
        "schedule": {"cosine_annealing_lr": {}},
    }
    study = plain.joined({LR: 0.02}, {LR: 0.05})
    rates = {name: arm.stages[-1].optimizers["student"].options["lr"] for name, arm in study.arms.items()}
    assert rates == {"control": 0.05, "student": 0.02}


def test_an_unknown_key_names_the_nearest_legal_one(digits):
    for key, nearest in (
        (f"{MATCH}.temprature", "weight"),
        (LR.replace("lr", "rate"), "lr"),
        ("stagez.0.train.epochs", "stages.0.train.epochs"),
    ):
        with pytest.raises(UnknownName, match="Nearest") as error:
            digits.check(list(read_search({key: (1, 2)}).values()))
        assert nearest in str(error.value)
        assert key in str(error.value)


def test_a_setting_that_the_recipe_leaves_out_may_be_searched(digits):
    digits.check(
        list(read_search({f"{MATCH}.temperature": (1, 2), "stages.0.train.clip": (0.1, 1)}).values())
    )


@pytest.mark.parametrize(
    "key", ["teacher.frozen.train.epochs", "task.vision.classification.validation", "seeds"]
)
def test_what_would_change_the_teacher_or_the_data_is_refused(digits, key):
    with pytest.raises(RecipeError, match="same for all trials"):
        digits.check(list(read_search({key: (1, 2, "int")}).values()))


def test_a_choice_that_is_a_mapping_is_set_key_by_key():
    tree = {"matches": [{"loss": "feature.FitNet", "guided": "a", "hint": "b"}]}
    found = with_values(tree, {"matches.0": {"guided": "c", "hint": "d"}})
    assert found == {"matches": [{"loss": "feature.FitNet", "guided": "c", "hint": "d"}]}
    assert tree["matches"][0]["guided"] == "a"


def test_leaves_are_paths_to_values():
    assert dict(leaves({"a": {"b": 1}, "c": [{"d": 2}], "e": [3, 4]})) == {"a.b": 1, "c.0.d": 2, "e": [3, 4]}


def test_a_call_of_distill_has_its_arguments(arguments):
    subject = CallSubject.of(arguments)
    assert set(subject.usual()) == {"temperature", "label_weight", "lr"}
    assert subject.own("epochs") == 2
    assert subject.own("temperature") is None
    subject.check(
        list(read_search({"temperature": (1, 2), "clip": (0.1, 1), "batch_size": [10, 20]}).values())
    )
    with pytest.raises(UnknownName, match="temperature"):
        subject.check(list(read_search({"temprature": (1, 2)}).values()))


def test_a_call_of_distill_has_a_control_with_its_own_rate(arguments):
    subject = CallSubject.of(arguments)
    found = knobs_of(subject, {"temperature": (1, 8), "label_weight": (0, 1), "lr": (1e-3, 1e-1)})
    assert found == {"student": ["temperature", "label_weight", "lr"], "control": ["lr"]}
    assert knobs_of(subject, {"temperature": (1, 8)})["control"] == []
