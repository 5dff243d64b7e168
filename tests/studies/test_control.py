"""The control is the student's walk with the teacher's terms taken out, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tutelage.data import Examples, Noise, Subset
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.studies import Change
from tutelage.studies.compared import differences, total_steps
from tutelage.studies.control import labelled_part, without_teacher
from tutelage.types import UNLABELLED

SGD = {"student": {"sgd": {"lr": 0.1}}}
SOFT = {"loss": "response.SoftTarget", "temperature": 2}
SMOOTH = {"loss": "response.HardLabel", "smoothing": 0.1}


def recipe(*stages, **changes):
    train = {"epochs": 2, "batch_size": 16}
    whole = [one if "scheme" not in one else {"optimizers": SGD, "train": train} | one for one in stages]
    tree = {
        "task": {"tabular.classification": {"data": "sklearn.iris", "validation": 30, "test": 30}},
        "teacher": {"frozen": {"model": {"mlp": {"widths": [8]}}, "train": {"epochs": 1}, "optimizers": SGD}},
        "student": {"model": {"mlp": {"widths": [4]}}},
        "stages": whole,
        "tuning": {"control": {"trials": 1}, "student": {"trials": 1}},
    }
    return build(parse(tree | changes), "flowers")


def offline(*matches):
    return {"scheme": {"offline": {"matches": list(matches)}}}


def terms(study, arm="control", stage=0):
    return [(term.text, term.weight) for term in study.arms[arm].stages[stage].declared.terms]


def test_terms_that_need_no_teacher_stay_with_their_settings():
    study = recipe(offline(SOFT, SMOOTH))
    assert terms(study) == [("HardLabel(smoothing=0.1)", 1.0)]
    assert not any("smoothing" in line for line in differences(study, "student", "control"))


def test_where_nothing_is_left_labels_are():
    study = recipe(offline(SOFT))
    assert terms(study) == [("HardLabel(smoothing=0.0)", 1.0)]
    assert any(
        "only the control learns by HardLabel" in line for line in differences(study, "student", "control")
    )


def test_the_weight_of_the_teachers_terms_goes_to_the_labels_and_is_said():
    study = recipe(offline(SOFT | {"weight": 0.9}, SMOOTH | {"weight": 0.1}))
    assert terms(study) == [("HardLabel(smoothing=0.1)", 1.0)]
    assert any(line.startswith("weights: HardLabel") for line in differences(study, "student", "control"))


def test_weights_of_more_than_one_stay():
    heavy = [Match(response.HardLabel(), weight=10.0)]
    assert without_teacher(heavy, list)[0].weight.now == 10.0
    two = [Match(response.HardLabel(), weight=w, name=str(w)) for w in (0.1, 0.3)]
    assert [match.weight.now for match in without_teacher(two, list)] == pytest.approx([0.25, 0.75])


def test_gates_and_layers_of_a_teacher_go_with_it():
    matches = [Match(feature.Hint(), guided="0"), Match(response.HardLabel())]
    assert [type(match.loss).__name__ for match in without_teacher(matches, list)] == ["HardLabel"]


def test_trainings_without_a_change_between_them_are_one():
    study = recipe(offline(SOFT), offline(SOFT, SMOOTH))
    assert len(study.arms["control"].stages) == 1
    assert total_steps(study.arms["control"]) == total_steps(study.arms["student"]) == 24
    assert any(line.startswith("schedules:") for line in differences(study, "student", "control"))


def test_changes_are_walked_by_the_control_too():
    study = recipe(offline(SOFT, SMOOTH), {"prune": {"share": 0.5}}, offline(SOFT, SMOOTH))
    control = study.arms["control"].stages
    assert [type(stage).__name__ for stage in control] == ["Stage", "Change", "Stage"]
    assert control[1] == replace(study.arms["student"].stages[1], changer=control[1].changer)
    assert isinstance(control[1], Change)
    found = differences(study, "student", "control")
    assert not any(line.startswith(("changes", "schedules", "steps", "terms")) for line in found)


def test_what_does_not_differ_is_not_listed():
    found = differences(recipe(offline(SOFT, SMOOTH)), "student", "control")
    assert [line.partition(":")[0] for line in found] == ["compute", "the teacher"]


def test_where_nobody_is_asked_no_teacher_is_said():
    study = recipe(offline(SMOOTH))
    assert not study.asks
    assert differences(study, "student", "control") == []


def test_settings_data_and_augmentation_that_differ_are_listed():
    study = recipe(
        offline(SOFT, SMOOTH),
        transfer={"labelled": 0.2},
        control={"train": {"batch_size": 8}, "optimizers": {"student": {"sgd": {"lr": 0.2}}}},
    )
    found = [line.partition(":")[0] for line in differences(study, "student", "control")]
    assert found == ["data", "optimizer", "settings", "compute", "the teacher"]


def test_a_recipe_may_name_another_control():
    noise = recipe(offline(SOFT), control={"data": "noise"}).arms["control"].source
    assert isinstance(noise, Noise)
    batch = noise.batch([3, 1])
    assert torch.equal(batch.inputs, noise.batch([1, 3]).inputs.flip(0))
    assert torch.equal(batch.labels, noise.source.batch([3, 1]).labels)
    own = recipe(offline(SOFT), control={"matches": [SMOOTH]})
    assert terms(own) == [("HardLabel(smoothing=0.1)", 1.0)]
    walk = recipe(
        offline(SOFT), control={"stages": [{"scheme": "alone", "optimizers": SGD, "train": {"epochs": 9}}]}
    )
    assert total_steps(walk.arms["control"]) == 9


def test_the_labelled_part():
    rows, labels = torch.zeros(4, 2), torch.tensor([1, UNLABELLED, 0, UNLABELLED])
    part = labelled_part(Examples(rows, labels))
    assert isinstance(part, Subset)
    assert part.labels.tolist() == [1, 0]
    whole = Examples(rows, torch.tensor([0, 1, 1, 0]))
    assert labelled_part(whole) is whole
