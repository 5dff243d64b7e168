"""A run of pairs from end to end: nobody sees what is another's."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.data import Source
from tutelage.engine import Runtime
from tutelage.losses import contrastive, feature
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.runs import Run, run
from tutelage.runs.measuring import measure_network
from tutelage.schemes import Offline
from tutelage.studies import Study
from tutelage.tasks.paired.models import mlp
from tutelage.teachers import Frozen
from tutelage.training import Classroom, train_arm
from tutelage.types import Batch

RECIPE = "paired/digits"
SHORT = [
    "teacher.train.epochs=10",
    "stages.0.train.epochs=8",
    "also.contrast.stages.0.train.epochs=4",
    "placebo=false",
]
CPU = torch.device("cpu")


class Blind(Source):
    """Another source, in which a part is not a number."""

    def __init__(self, source: Source, part: str) -> None:
        self.source, self.part, self.draws = source, part, source.draws

    def __len__(self) -> int:
        return len(self.source)

    @property
    def labels(self) -> torch.Tensor | None:
        return self.source.labels

    def batch(self, numbers: list[int]) -> Batch:
        batch = self.source.batch(numbers)
        blind = torch.full_like(batch.inputs[self.part], torch.nan)
        return replace(batch, inputs={**batch.inputs, self.part: blind})


@pytest.fixture(scope="module")
def study() -> Study:
    return build(load(RECIPE, changes=SHORT), RECIPE, seeds=3)


@pytest.fixture(scope="module")
def done(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(study, tmp_path_factory.mktemp("paired") / "run", quiet=True, cpu=True)


@pytest.mark.slow
def test_outcomes_and_their_controls(done: Run):
    found = done.results
    assert list(found["outcomes"]) == ["control", "student", "contrast"]
    assert {name: each["against"] for name, each in found["outcomes"].items()} == {
        "control": None,
        "student": "control",
        "contrast": "control",
    }
    assert found["teacher"]["quality"]["accuracy"]["mean"] > 0.9
    for each in found["outcomes"].values():
        assert each["quality"]["accuracy"]["mean"] > 0.5
        assert len(each["quality"]["accuracy"]["per_seed"]) == 3
    assert found["fidelity"]["agreement"]["mean"] > 0.7


@pytest.mark.slow
def test_the_verdict_runs_over_pairs(done: Run):
    verdict = done.results["verdict"]
    assert (verdict["of"], verdict["against"], verdict["metric"]) == ("student", "control", "accuracy")
    assert (verdict["seeds"], verdict["examples"]) == (3, 539)
    assert verdict["interval"][0] <= verdict["difference"] <= verdict["interval"][1]
    assert any("what is seen" in line for line in verdict["uncontrolled"])


@pytest.mark.slow
def test_the_files_and_the_report(done: Run):
    for name in ("results.json", "details.json", "student.safetensors", "network.json", "recipe.yaml"):
        assert (done.out / name).is_file()
    assert (done.out / "outcomes" / "control" / "student.safetensors").is_file()
    page = done.report.read_text()
    assert "contrast" in page
    assert "paired/digits" in page


@pytest.mark.slow
def test_costs_are_those_of_the_own_part(done: Run):
    teacher, student = (done.results[who]["cost"] for who in ("teacher", "student"))
    first = 16 * 64 + 64
    assert student["parameters"] == done.results["control"]["cost"]["parameters"] == first + 64 * 10 + 10
    assert teacher["parameters"] == 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10
    assert student["flops"] == pytest.approx(2 * (16 * 64 + 64 * 10), rel=0.05)
    assert teacher["flops"] == pytest.approx(2 * (64 * 128 + 128 * 64 + 64 * 10), rel=0.05)


@pytest.mark.slow
def test_nobody_sees_the_image_but_the_teacher(done: Run, study: Study):
    problem = study.problem
    blind = replace(problem, test=Blind(problem.test, "image"))
    for name, network in done.students.items():
        seen = measure_network(network, problem, CPU).answers
        assert torch.equal(measure_network(network, blind, CPU).answers.logits, seen.logits), name


@pytest.mark.slow
def test_student_and_control_train_without_the_image(study: Study, tmp_path: Path):
    """With an image that is not a number the control's weights are the same, as are the student's data."""
    runtime = Runtime(cpu=True, quiet=True)
    arm = study.arms["control"]
    stages = [replace(each, settings=each.settings.model_copy(update={"epochs": 1})) for each in arm.stages]
    problem = replace(study.problem, validation=Blind(study.problem.validation, "image"))
    weights = []
    for number, source in enumerate((arm.source, Blind(arm.source, "image"))):
        tried = train_arm(
            replace(arm, stages=stages, source=source),
            problem,
            runtime,
            tmp_path / str(number),
            seed=0,
            teacher=None,
            label="control",
        )
        weights.append(tried.network.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_the_teacher_does_not_see_the_projections(study: Study):
    teacher = Classroom(study, [study.plan.arms[0].networks["student"]()], Runtime(cpu=True)).finished()
    batch = study.problem.test.batch(range(20))
    blind = Blind(study.problem.test, "projections").batch(range(20))
    assert torch.equal(teacher(batch).logits, teacher(blind).logits)
    assert teacher(Blind(study.problem.test, "image").batch(range(20))).logits.isnan().all()


@pytest.fixture
def run_dir(done: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done.out, tmp_path / "run"))


def ask(*words: object) -> dict:
    answer = CliRunner().invoke(app, [str(word) for word in words])
    assert answer.exit_code == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.slow
def test_evaluate_finds_the_numbers_of_the_run(done: Run, run_dir: Path):
    found = ask("evaluate", run_dir, "--cpu", "--json")
    best = found["quality"]["accuracy"]["mean"]
    assert best in done.results["student"]["quality"]["accuracy"]["per_seed"]
    for seed, expected in enumerate(done.results["student"]["quality"]["accuracy"]["per_seed"]):
        weights = run_dir / f"seed{seed}" / "student" / "student.safetensors"
        found = ask("evaluate", run_dir, "--weights", weights, "--cpu", "--json")
        assert found["quality"]["accuracy"]["mean"] == expected
    assert found["cost"]["flops"] == done.results["student"]["cost"]["flops"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["torch_export", "safetensors"])
def test_export_is_called_with_the_own_part_alone(done: Run, study: Study, run_dir: Path, form: str):
    found = ask("export", run_dir, "--format", form, "--json")
    assert found["max_difference"] < 1e-5
    if form == "torch_export":
        program = torch.export.load(found["path"]).module()
        projections = study.problem.test.batch(range(7)).inputs["projections"]
        torch.testing.assert_close(program(projections), done.student(projections))


@pytest.mark.parametrize(
    "loss", [feature.Hint(), contrastive.EmbeddingContrast()], ids=lambda loss: type(loss).__name__
)
def test_features_are_compared_across_parts(study: Study, loss):
    """A layer of the image's network teaches one of the projections', of another width."""
    torch.manual_seed(0)
    student = mlp(num_classes=10, in_features=16, widths=[20])
    teacher = Frozen(mlp(num_classes=10, in_features=64, widths=[24]))
    teacher.reads = study.problem.reads["teacher"]
    scheme = Offline(student, teacher, [Match(loss, guided="hidden.0")])
    scheme.learner.reads = study.problem.reads["student"]
    batch = study.problem.train.batch(range(32))
    scheme.prepare(batch)
    (match,) = scheme.matches
    assert match.projectors[0](torch.zeros(2, 20)).shape == (2, 24)
    (turn,) = scheme.turns()
    optimizer = torch.optim.Adam(turn.parameters, lr=0.01)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        term = sum(turn.terms(batch).values())
        term.backward()
        optimizer.step()
        values.append(term.item())
    assert values[-1] < 0.6 * values[0]


def test_stages_are_paired_by_running_each_on_its_own_part(study: Study):
    student, teacher = (mlp(num_classes=10, in_features=count, widths=[8, 8]) for count in (16, 64))
    taught_by = Frozen(teacher)
    taught_by.reads = study.problem.reads["teacher"]
    scheme = Offline(student, taught_by, [Match(feature.Hint(), stages="last", projector=None)])
    scheme.learner.reads = study.problem.reads["student"]
    scheme.prepare(study.problem.train.batch([0, 1]))
    assert scheme.learner.layers


def test_a_student_is_taught_by_what_it_was(tmp_path: Path):
    """As a teacher, it goes on reading its own part."""
    short = "{steps: 2, batch_size: 16}"
    stage = "{scheme: {offline: {matches: [{loss: response.SoftTarget}]}}, teacher: %s, train: %s, "
    stage += "optimizers: {student: {sgd: {lr: 0.1}}}}"
    stages = ", ".join(stage % (who, short) for who in ("plan", "before"))
    changes = ["also={}", "control=false", f"stages=[{stages}]", f"teacher.train={short}"]
    study = build(load(RECIPE, changes=changes), RECIPE, seeds=1)
    runtime = Runtime(cpu=True, quiet=True)
    arm, classroom = (
        study.arms["student"],
        Classroom(study, [study.plan.arms[0].networks["student"]()], runtime),
    )
    done = train_arm(
        arm,
        study.problem,
        runtime,
        tmp_path / "run",
        seed=0,
        teacher=lambda stage: classroom.teacher(arm, stage),
        label="student",
    )
    assert done.failed is None
    assert done.steps_until() == 4


@pytest.mark.slow
def test_in_parts_and_on_two_processes(tmp_path: Path):
    changes = [
        "also={}",
        "teacher.train={steps: 6, batch_size: 24}",
        "stages.0.train={steps: 6, batch_size: 24}",
        "stages.0.scheme.offline.matches=[{loss: response.SoftTarget, temperature: 2}, "
        "{loss: feature.Hint, guided: hidden.0, hint: hidden.1, weight: 0.1}]",
        "stages.0.optimizers={student: {sgd: {lr: 0.1}}}",
        "control={}",
    ]
    same_in_parts_and_together(RECIPE, changes, tmp_path)
