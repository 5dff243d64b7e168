"""Answers that a study will ask for in vain are refused before anything is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tutelage.engine import Runtime
from tutelage.errors import AnswersError, TutelageWarning
from tutelage.labelling import LabelSettings, finish, prepare
from tutelage.losses import response
from tutelage.recipes import build, load, student_of
from tutelage.runs import distill
from tutelage.runs.checks import check_study
from tutelage.studies import Study
from tutelage.studies.stored import about_answers, check_answers, other_teacher
from tutelage.teachers import Stored

pytestmark = pytest.mark.slow

SHORT = ["teacher.frozen.train.epochs=1", "stages.0.train.epochs=2", "seeds=1", "task.train=300"]
VIEWS = "stages.0.train.augment={jitter: 1}"


def study(*changes: str) -> Study:
    return build(load("vision/digits", changes=[*SHORT, *changes]), "vision/digits")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of answers by one teacher: `whole`, `few` (the greatest three) and `views`."""
    under = tmp_path_factory.mktemp("answers")
    for name, form, changes in [("whole", None, []), ("few", "topk:3@2", []), ("views", None, [VIEWS])]:
        if (under / "whole" / "teacher").exists():
            shutil.copytree(under / "whole" / "teacher", under / name / "teacher")
        stated = prepare(
            study(*changes), under / name, LabelSettings(form=form), Runtime(cpu=True, quiet=True)
        )
        stated.labelling.run()
        finish(stated)
    return under


def taught_by(folder: Path, *changes: str) -> Study:
    return study(*changes, f"teacher={{stored: {{answers: {folder}}}}}")


@pytest.mark.parametrize("changes", [[], ["task.train=200"], ["stages.0.train.batch_size=32"]])
@pytest.mark.parametrize("name", ["whole", "few"])
def test_answers_to_all_that_is_asked_pass(labelled, name, changes):
    found = taught_by(labelled / name, *changes)
    check_answers(found)
    assert about_answers(found) == []


def test_a_temperature_that_was_not_kept(labelled):
    warmer = "stages.0.scheme.matches.0.temperature=4"
    check_answers(taught_by(labelled / "whole", warmer))
    with pytest.raises(AnswersError, match=r"SoftTarget compares at temperature 4, .*topk:3@2, cannot serve"):
        check_answers(taught_by(labelled / "few", warmer))


@pytest.mark.parametrize(
    "match",
    [
        "{loss: response.Decoupled}",
        "{loss: response.SoftTarget, temperature: 2, gate: right}",
        "{loss: response.SoftTarget, temperature: 2, transform: standardise}",
    ],
)
def test_a_term_that_needs_all_classes(labelled, match):
    other = f"stages.0.scheme.matches=[{match}]"
    check_answers(taught_by(labelled / "whole", other))
    with pytest.raises(AnswersError, match=r"needs all logits, .*topk:3@2, which keeps few"):
        check_answers(taught_by(labelled / "few", other))


def test_views_that_were_not_shown(labelled):
    check_answers(taught_by(labelled / "views", VIEWS))
    for more, counted in (("stages.0.train.epochs=3", "3 random"), ("seeds=2", "4 random")):
        with pytest.raises(AnswersError, match=rf"{counted} views .* which hold 2; train for no more"):
            check_answers(taught_by(labelled / "views", VIEWS, more))
    with pytest.raises(AnswersError, match=r"2 of them were not shown .* which hold 0"):
        check_answers(taught_by(labelled / "whole", VIEWS))


def test_data_of_another_recipe(labelled):
    recipe = load("tabular/ensemble", changes=[f"teacher={{stored: {{answers: {labelled / 'whole'}}}}}"])
    with pytest.raises(AnswersError, match=r"are to other train data than the recipe's; name the folder"):
        check_answers(build(recipe, "tabular/ensemble", seeds=1))


def test_another_split_of_the_same_data_is_told_of(labelled):
    """What is tested on may be what the teacher learnt: all 1,797 digits have answers here."""
    whole = ["task.train=null"]
    folder = labelled / "all"
    stated = prepare(study(*whole), folder, LabelSettings(), Runtime(cpu=True, quiet=True))
    stated.labelling.run()
    finish(stated)
    found = taught_by(folder, *whole, "task.seed=7")
    check_answers(found)
    [line] = about_answers(found)
    assert "were made beside other validation and test data than these" in line
    with pytest.warns(TutelageWarning, match="may be what that teacher was trained on"):
        check_study(found, Runtime(cpu=True, quiet=True).device)


def test_a_recipe_that_names_another_teacher(labelled):
    same, other = ({"teacher": study(*more).resolved["teacher"]} for more in ([], ["teacher.train.epochs=9"]))
    assert other_teacher(str(labelled / "whole"), same) is None
    said = other_teacher(str(labelled / "whole"), other)
    assert said is not None
    assert said.endswith("it differs in teacher.frozen.train.epochs (1 there, 9 in the recipe)")
    assert other_teacher("memory://somewhere", other) is None


def test_distill_takes_answers_of_few_classes(labelled, tmp_path):
    problem, small = student_of(load("vision/digits", changes=SHORT))
    splits = {"train": problem.train, "validation": problem.validation, "test": problem.test}
    common = {"epochs": 1, "seeds": 1, "control": False, "quiet": True}
    with pytest.raises(AnswersError, match=r"SoftTarget compares at temperature 4, .*topk:3@2"):
        distill(Stored(labelled / "few"), small, **splits, **common, out=tmp_path / "warm")
    assert not (tmp_path / "warm").exists()
    matches = response.SoftTarget(temperature=2.0)
    done = distill(Stored(labelled / "few"), small, **splits, **common, matches=matches, out=tmp_path / "run")
    assert "accuracy" in done.results["student"]["quality"]
