from __future__ import annotations

import pytest
import torch

from tutelage.corrections import PriorBias
from tutelage.data import Loader
from tutelage.errors import DataError, ModelError, RecipeError, UnknownName
from tutelage.recipes import build, student_of
from tutelage.recipes.load import parse
from tutelage.schemes import Alone, Offline
from tutelage.studies import Stage, Study
from tutelage.types import UNLABELLED

TRAIN = 90  # flowers, after validation and test


def total_steps(study: Study, arm: str) -> int:
    held = study.arms[arm]
    return sum(
        stage.settings.total_steps(len(Loader(held.source, batch_size=stage.settings.batch_size)))
        for stage in held.stages
    )


def scheme_of(study: Study, arm: str = "student", stage: int = 0):
    held: Stage = study.arms[arm].stages[stage]
    teacher = study.teacher.finish([each.networks["student"]() for each in study.teacher.arms])
    return held.scheme({"student": study.arms[arm].networks["student"]()}, teacher)


def test_a_study_has_control_and_student_with_one_network_and_one_set_of_data(make):
    study = make()
    assert list(study.arms) == ["control", "student"]
    control, student = study.arms["control"], study.arms["student"]
    assert control.networks["student"] is student.networks["student"]
    assert control.source is student.source is study.problem.train
    assert not control.needs_teacher
    assert student.needs_teacher
    assert isinstance(scheme_of(study, "control"), Alone)
    assert isinstance(scheme_of(study), Offline)
    assert study.seeds == [0, 1]
    assert study.resolved["seeds"] == 2


def test_seeds_may_be_given_beside_the_recipe(recipe):
    study = build(recipe, "flowers", seeds=4)
    assert study.seeds == [0, 1, 2, 3]
    assert study.resolved["seeds"] == 2


def test_control_makes_the_students_steps_with_the_students_settings(make):
    study = make()
    control, student = study.arms["control"].stages[0], study.arms["student"].stages[0]
    assert total_steps(study, "control") == total_steps(study, "student") == 3 * 6
    assert control.settings.batch_size == student.settings.batch_size
    assert control.optimizers == student.optimizers


def test_steps_are_equal_where_one_example_is_left_over(make, plain):
    plain["stages"][0]["train"]["batch_size"] = 89  # 90 examples: a batch of one joins the one before
    assert total_steps(make(), "control") == total_steps(make(), "student") == 3


def test_steps_are_equal_over_several_stages_and_fewer_labels(make, plain):
    plain["stages"].append({**plain["stages"][0], "train": {"steps": 7, "batch_size": 16}})
    study = make(transfer={"labelled": 0.2})
    assert len(study.arms["control"].source) == 18
    assert len(study.arms["student"].source) == TRAIN
    assert len(study.arms["control"].stages) == 1
    assert total_steps(study, "control") == total_steps(study, "student") == 3 * 6 + 7


def test_control_looks_at_the_validation_split_as_often_as_the_student(make):
    study = make(transfer={"labelled": 0.2})
    assert study.arms["control"].stages[0].settings.validate_every == 5


def test_control_may_have_settings_of_its_own(make):
    control = {"train": {"batch_size": 30, "validate_every": 2}, "optimizers": {"student": "adamw"}}
    held = make(control=control).arms["control"].stages[0]
    assert (held.settings.batch_size, held.settings.validate_every) == (30, 2)
    assert held.optimizers["student"].name == "adamw"
    assert held.settings.steps == 18
    assert make(control={"train": {"epochs": 5}}).arms["control"].stages[0].settings.epochs == 5


def test_control_may_be_left_out(make):
    assert list(make(control=False).arms) == ["student"]


@pytest.mark.parametrize(
    ("train", "said"),
    [({"epoch": 1}, "control.train.*Nearest: 'epochs'"), ({"epochs": 1, "steps": 1}, "control.train")],
)
def test_wrong_settings_of_the_control_are_said(make, train, said):
    with pytest.raises(RecipeError, match=said):
        make(control={"train": train})


def test_a_fraction_is_drawn_by_class_for_student_and_control_alike(make):
    study = make(transfer={"fraction": 0.2})
    student, control = study.arms["student"].source, study.arms["control"].source
    assert student is control
    assert student.labels.bincount().tolist() == [6, 6, 6]
    again, other = (make(transfer={"fraction": 0.2, "seed": s}).arms["student"].source for s in (0, 1))
    assert student.numbers.tolist() == again.numbers.tolist() != other.numbers.tolist()


def test_hidden_labels_are_hidden_and_the_control_sees_only_the_others(make):
    study = make(transfer={"labelled": 0.2})
    student, control = study.arms["student"].source, study.arms["control"].source
    seen = student.labels != UNLABELLED
    assert int(seen.sum()) == len(control) == 18
    batch = student.batch(range(len(student)))
    assert torch.equal(batch.labels, student.labels)
    ids = control.batch(range(len(control))).ids
    assert sorted(ids.tolist()) == sorted(batch.ids[seen].tolist())


def test_an_omitted_class_is_in_neither_set(make):
    study = make(transfer={"omit": [1], "labelled": 0.5})
    for arm in ("student", "control"):
        assert 1 not in study.arms[arm].source.labels.tolist()
    assert len(study.arms["student"].source) == 60
    assert study.problem.test.labels.bincount().tolist() == [10, 10, 10]


def test_a_class_that_nobody_has_cannot_be_omitted(make):
    with pytest.raises(DataError, match="no training example has a class of"):
        make(transfer={"omit": [7]})


def test_further_arms_train_on_the_transfer_set_or_on_everything(make, plain):
    alone = {"scheme": "alone", "optimizers": {"student": "adamw"}, "train": {"epochs": 1}}
    also = {
        "longer": {"stages": [*plain["stages"], *plain["stages"]]},
        "everything": {"stages": [alone], "data": "train", "correct": {"prior_bias": {"classes": [0]}}},
    }
    study = make(transfer={"fraction": 0.5}, also=also)
    assert list(study.arms) == ["control", "student", "longer", "everything"]
    longer, everything = study.arms["longer"], study.arms["everything"]
    assert longer.source is study.arms["student"].source
    assert len(longer.stages) == 2
    assert longer.needs_teacher
    assert everything.source is study.problem.train
    assert not everything.needs_teacher
    assert isinstance(everything.correction, PriorBias)
    assert longer.correction is None


def test_a_further_arm_is_like_another_with_its_own_correction(make):
    also = {
        "plain": {"like": "student"},
        "moved": {"like": "control", "correct": {"prior_bias": {"classes": [0]}}},
    }
    study = make(correct={"prior_bias": {"classes": [1]}}, also=also)
    plain, moved = study.arms["plain"], study.arms["moved"]
    assert plain.stages is study.arms["student"].stages
    assert (plain.like, plain.correction) == ("student", None)
    assert moved.stages is study.arms["control"].stages
    assert isinstance(moved.correction, PriorBias)
    with pytest.raises(RecipeError, match="like the control, and there is none"):
        make(control=False, also={"moved": {"like": "control"}})


def test_an_unknown_correction_names_the_nearest(make):
    with pytest.raises(UnknownName, match="Nearest: 'prior_bias'"):
        make(correct="prior_bais")


def test_networks_are_told_about_the_data_unless_the_recipe_says(make):
    assert make().arms["student"].networks["student"]().head.out_features == 3
    wider = make(student={"model": {"mlp": {"widths": [4], "num_classes": 5}}})
    assert wider.arms["student"].networks["student"]().head.out_features == 5


def test_the_student_can_be_built_without_its_teacher(recipe):
    problem, network = student_of(recipe)
    assert len(problem.train) == TRAIN
    assert network().head.out_features == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"task": {"tabular.clasification": {}}}, "Nearest: 'tabular.classification'"),
        ({"task": {"tabular.classification": {"data": "sklearn.iris", "validatoin": 1}}}, "'validation'"),
        ({"student": {"model": {"mlpp": {"widths": [4]}}}}, "Nearest: 'mlp'"),
        ({"student": {"model": {"mlp": {"width": [4]}}}}, "Nearest: 'widths'"),
        ({"student": {"model": "mlp"}}, "model mlp needs the settings widths"),
    ],
)
def test_a_wrong_name_is_an_error_before_anything_is_trained(make, changed, said):
    with pytest.raises((UnknownName, RecipeError), match=said):
        make(**changed)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scheme", "ofline", "Nearest: 'offline'"),
        ("scheme", {"offline": {"match": []}}, "Nearest: 'matches'"),
        ("scheme", {"offline": {"matches": []}}, "expected a list of at least one"),
        ("scheme", {"offline": {"matches": {"loss": "response.HardLabel"}}}, "expected a list"),
        ("scheme", {"offline": {"matches": ["response.HardLabel"]}}, "a match came as"),
        (
            "scheme",
            {"offline": {"matches": [{"loss": "response.HardLabl"}]}},
            "Nearest: 'response.HardLabel'",
        ),
        ("scheme", {"offline": {"matches": [{"loss": "response.HardLabel", "weight": "x"}]}}, "weight"),
        (
            "scheme",
            {"offline": {"matches": [{"loss": "response.HardLabel", "smooth": 1}]}},
            "unknown setting",
        ),
        (
            "scheme",
            {"offline": {"matches": [{"loss": "feature.Hint", "guided": "hidden.0", "projector": "liner"}]}},
            "Nearest: 'linear'",
        ),
        ("optimizers", {"student": {"sdg": {"lr": 1}}}, "Nearest: 'SGD'"),
        ("optimizers", {"student": {"sgd": {"lrr": 1}}}, "Nearest: 'lr'"),
        ("optimizers", {"student": {"sgd": {"lr": -1}}}, "SGD refused"),
        ("optimizers", {"student": {"sgd": {"lr": 1, "schedule": "step_rl"}}}, "Nearest: 'StepLR'"),
        ("train", {"epochs": 1, "augment": {"jitter": 1}}, "no augmentations"),
    ],
)
def test_a_wrong_name_in_a_stage_is_an_error_before_anything_is_trained(make, plain, key, value, said):
    plain["stages"][0][key] = value
    with pytest.raises((UnknownName, RecipeError), match=said):
        make()


def test_each_scheme_gets_fresh_losses(make, plain):
    plain["stages"][0]["scheme"] = {
        "offline": {
            "matches": [
                {"loss": "response.SoftTarget", "temperature": 2.0, "weight": 0.5, "name": "soft"},
                {"loss": "feature.Hint", "guided": "hidden.0", "hint": "hidden.0"},
            ]
        }
    }
    first, second = (scheme_of(make()) for _ in range(2))
    assert first.learner.names == ["soft", "Hint(hidden.0)"]
    assert first.matches[0].weight.now == 0.5
    assert first.matches[0] is not second.matches[0]


def test_the_record_of_tuning_becomes_what_is_uncontrolled(plain):
    def said(**changes):
        return list(build(parse({**plain, **changes}), "flowers").uncontrolled)

    assert "keeps no record" in said()[0]
    assert said(tuning={"control": {"trials": 8}, "student": {"trials": 8}}) == []
    assert (
        "4 trials for the control, 8 for the student"
        in said(tuning={"control": {"trials": 4}, "student": {"trials": 8}})[0]
    )
    assert said(uncontrolled=["the weather"])[0] == "the weather"


def test_a_transform_is_named_in_a_match(make, plain):
    term = {"loss": "response.SoftTarget", "temperature": 2, "transform": {"standardise": {"gain": 0.5}}}
    stage = plain["stages"][0] | {"scheme": {"offline": {"matches": [term]}}}
    study = make(stages=[stage])
    student = study.arms["student"].networks["student"]()
    scheme = study.arms["student"].stages[0].scheme({"student": student}, study.teacher.finish([student]))
    assert scheme.matches[0].transform.gain == 0.5
    with pytest.raises(UnknownName, match="Nearest: 'standardise'"):
        make(stages=[stage | {"scheme": {"offline": {"matches": [term | {"transform": "standardize"}]}}}])


def test_a_mistyped_turn_is_named_before_one_without_an_optimizer(plain):
    plain["networks"] = {"peer": {"model": "mlp"}}
    sgd = {"sgd": {"lr": 0.1}}
    plain["stages"][0] |= {"scheme": {"mutual": {}}, "optimizers": {"student": sgd, "pear": sgd}}
    with pytest.raises(UnknownName, match="'pear'"):
        build(parse(plain), "x")
    plain["stages"][0]["optimizers"] = {"student": sgd}
    with pytest.raises(RecipeError, match="moves student, peer, and peer has no optimizer"):
        build(parse(plain), "x")


def test_the_way_of_the_student_has_no_stop_where_another_network_is_touched(make, plain):
    moved = plain["stages"][0]["optimizers"]
    alone = {"scheme": "alone", "optimizers": moved, "train": {"epochs": 1}}
    study = make(
        networks={"big": {"model": {"mlp": {"widths": [8]}}}},
        stages=[
            alone | {"student": "big"},
            {"prune": {"share": 0.25}, "networks": ["big"]},
            plain["stages"][0] | {"teacher": "big"},
            {"prune": {"share": 0.5}},
        ],
        outcomes={
            "small": {"network": "student"},
            "unpruned": {"network": "student", "stage": 2},
            "big": {"network": "big", "stage": 1},
        },
    )
    assert list(study.way) == ["3 train (offline)", "4 prune"]
    assert "big alone" not in study.outcomes  # nobody teaches it
    (training, change) = study.arms["control"].stages
    assert (training.student, change.name) == ("student", "prune")
    assert study.outcomes["unpruned alone"].stage == 0  # after the same part of its own walk


@pytest.mark.parametrize(
    ("classes", "said"), [([99], "class 99, and there are 3"), ([-1], "expected numbers")]
)
def test_a_correction_of_a_class_that_is_not_there_is_said_before_anything_is_trained(make, classes, said):
    with pytest.raises((ModelError, RecipeError), match=said):
        make(correct={"prior_bias": {"classes": classes}})


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", ".x", "x\x1b[2J"])
def test_an_arm_is_no_path(make, name):
    alone = {"scheme": "alone", "optimizers": {"student": "sgd"}, "train": {"epochs": 1}}
    with pytest.raises(RecipeError, match="files are named after it"):
        make(also={name: {"stages": [alone]}})
