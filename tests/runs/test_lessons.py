"""A run over lessons: every lesson measured after every stage, and what was forgotten."""

from __future__ import annotations

import pytest
import torch
from carrying import same_in_parts_and_together

from tutelage.engine import Runtime
from tutelage.evaluation import forgetting
from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.report import render
from tutelage.runs import run
from tutelage.runs.examined import Examined
from tutelage.runs.lessons import lessons_of
from tutelage.runs.run import _wanted_early
from tutelage.training import train_arm

SGD = {"student": {"sgd": {"lr": 0.2, "momentum": 0.9}}}
LESSONS = [[0, 1], [2, 3], [4, 5]]


def learn(*classes):
    return [{"loss": "response.HardLabel", "classes": list(held)} for held in classes]


def stage(number, *, keeps=True):
    soft = [
        {"loss": "response.SoftTarget", "temperature": 2, "classes": held}
        for held in LESSONS[:number]
        if keeps
    ]
    scheme = {"offline" if soft else "alone": {"matches": learn(LESSONS[number]) + soft}}
    return {
        "classes": LESSONS[number],
        "scheme": scheme,
        "teacher": "before" if soft else "plan",
        "optimizers": SGD,
        "train": {"steps": 12, "batch_size": 32, "keep": "last"},
    }


def study(*, given=True, seeds=2, **changes):
    task = {"data": "sklearn.digits", "lessons": LESSONS, "lesson_given": given}
    tree = {
        "task": {"tabular.classification": task},
        "student": {"model": {"mlp": {"widths": [16]}}},
        "stages": [stage(number) for number in range(3)],
        "seeds": seeds,
    }
    return build(parse(tree | changes), "lessons")


def examined_of(held, folder, names=("control", "student")):
    runtime, found = Runtime(cpu=True, quiet=True), {}
    for name in names:
        outcome = held.outcomes[name]
        trained = [
            train_arm(
                held.arms[name],
                held.problem,
                runtime,
                folder / f"{name}{seed}",
                seed=seed,
                teacher=lambda stage: pytest.fail("the stage before teaches"),
                label=name,
                keep=_wanted_early(held, name),
            )
            for seed in held.seeds
        ]
        found[name] = Examined(
            name, outcome, held.problem, held.arms[outcome.arm], trained, [None] * len(trained), held.seeds
        )
    return found


@pytest.mark.slow
def test_every_lesson_after_every_stage(tmp_path):
    held = study()
    examined = examined_of(held, tmp_path)
    found = lessons_of(held, examined, torch.device("cpu"))
    assert found["names"] == ["0, 1", "2, 3", "4, 5"]
    assert found["given"]
    for entry in found["outcomes"].values():
        matrices = [torch.tensor(each) for each in entry["per_seed"]]
        assert [list(each.shape) for each in matrices] == [[3, 3], [3, 3]]
        assert all(each.diagonal().min() > 0.7 for each in matrices)  # each was learnt in its stage
        forgot = entry["measures"]["forgetting"]["per_seed"]
        assert forgot == pytest.approx([forgetting(each) for each in matrices], abs=1e-6)
    ours, theirs = (found["outcomes"][name]["measures"]["forgetting"] for name in ("student", "control"))
    beside = found["outcomes"]["student"]["forgetting"]
    assert beside["against"] == "control"
    assert beside["difference"] == pytest.approx(ours["mean"] - theirs["mean"])
    assert beside["interval"][0] <= beside["difference"] <= beside["interval"][1]


def test_nothing_is_said_of_runs_without_lessons(tmp_path):
    plain = study(stages=[stage(0)], seeds=1)
    assert lessons_of(plain, examined_of(plain, tmp_path, ["student"]), torch.device("cpu")) == {}


@pytest.mark.slow
def test_a_run_shows_them_in_results_and_page(tmp_path):
    done = run(study(given=False), tmp_path / "run", quiet=True, cpu=True)
    told = done.results["lessons"]
    assert not told["given"]
    for name in ("control", "student"):
        quality = done.results["outcomes"][name]["quality"]
        assert quality["forgetting"] == told["outcomes"][name]["measures"]["forgetting"]
        assert "forward_transfer" not in quality
        assert "accuracy_in_lesson" in quality
    page = render(done.results, {})
    assert "Lesson by lesson" in page
    again = run(study(given=False), tmp_path / "run", resume=True, quiet=True, cpu=True)
    assert again.results["lessons"] == told


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:HardLabel .* is inert")  # a lesson that is known moves little
def test_terms_of_some_classes_in_parts_and_on_two_processes(tmp_path):
    """Batches of several lessons: items without a label of a term's classes stay in the denominator."""
    recipe = tmp_path / "lessons.py"
    matches = [*learn([2, 3], [0, 1]), {"loss": "response.SoftTarget", "temperature": 2, "classes": [0, 1]}]
    last = stage(1) | {
        "scheme": {"offline": {"matches": matches}},
        "memory": {"classes": [0, 1], "per_class": 20},
    }
    few, slow = {"steps": 6, "batch_size": 32, "keep": "last"}, {"student": {"sgd": {"lr": 0.05}}}
    task = {"data": "sklearn.digits", "lessons": LESSONS[:2]}
    tree = {
        "task": {"tabular.classification": task},
        "student": {"model": {"mlp": {"widths": [16]}}},
        "stages": [held | {"train": few, "optimizers": slow} for held in (stage(0), last)],
    }
    recipe.write_text(f"recipe = {tree!r}")
    same_in_parts_and_together(str(recipe), [], tmp_path)
