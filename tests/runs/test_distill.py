"""Distilling in one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import tutelage as tl
from tutelage.balancing import Ramp
from tutelage.errors import DataError, ModelError, OutputError, RecipeError, TutelageWarning, UnknownName
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.teachers import PastSelf, Virtual
from tutelage.types import UNLABELLED

Distil = Callable[..., tl.Run]


def blobs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three overlapping clouds in five dimensions."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0], [0, 0, 1.0, 0, 0]])
    return centres[labels] + 0.4 * torch.randn(count, 5, generator=generator), labels


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


@pytest.fixture
def teacher() -> nn.Module:
    """The rule that made the clouds."""
    network = nn.Linear(5, 3)
    with torch.no_grad():
        network.weight.copy_(8 * torch.eye(3, 5))
        network.bias.zero_()
    return network


@pytest.fixture
def distil(teacher: nn.Module, tmp_path: Path) -> Distil:
    """`distill` with small defaults."""
    defaults: dict[str, Any] = {
        "test": blobs(60, 2),
        "epochs": 2,
        "batch_size": 20,
        "seeds": 2,
        "out": tmp_path / "run",
        "quiet": True,
    }

    def call(*args: Any, **options: Any) -> tl.Run:
        given = list(args) or [teacher, small, blobs(90, 0), blobs(30, 1)]
        return tl.distill(*given, **{**defaults, **options})

    return call


@pytest.mark.slow
def test_a_run_has_a_verdict_a_student_a_report_and_the_promised_numbers(distil: Distil) -> None:
    run = distil()
    assert run.verdict.word in ("better", "worse", "not shown")
    assert run.report.read_text().startswith("<!doctype html>")
    assert not run.student.training
    assert set(run.results) >= {
        "recipe",
        "out",
        "seeds",
        "teacher",
        "control",
        "student",
        "fidelity",
        "verdict",
    }
    for arm in ("teacher", "control", "student"):
        assert set(run.results[arm]["quality"]["accuracy"]) == {"mean", "per_seed"}
        assert set(run.results[arm]["cost"]) >= {
            "parameters",
            "bytes",
            "flops",
            "latency_ms",
            "peak_memory_bytes",
            "energy_joules",
            "train_seconds",
        }
    assert json.loads((run.out / "results.json").read_text()) == run.results


@pytest.mark.slow
def test_the_student_loads_as_a_plain_module(distil: Distil) -> None:
    run = distil()
    plain = small()
    plain.load_state_dict(load_file(run.out / "student.safetensors"))
    inputs, _ = blobs(10, 3)
    assert torch.equal(plain(inputs), run.student(inputs))


@pytest.mark.slow
def test_student_and_control_start_and_go_on_alike_without_a_teacher(distil: Distil) -> None:
    labels_only = [tl.Match(response.HardLabel())]
    run = distil(matches=labels_only)
    for seed in (0, 1):
        arms = [
            load_file(run.out / f"seed{seed}" / arm / "student.safetensors") for arm in ("control", "student")
        ]
        assert all(torch.equal(arms[0][name], arms[1][name]) for name in arms[0])
    assert run.verdict.difference == 0
    assert run.verdict.word == "not shown"


@pytest.mark.slow
def test_the_network_that_comes_in_is_not_changed(teacher: nn.Module, distil: Distil) -> None:
    student = small()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    run = distil(teacher, student, blobs(90, 0), blobs(30, 1))
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
    assert any("initialisation" in each for each in run.verdict.uncontrolled)


class Named(nn.Module):
    """Takes and gives mappings, as Transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: Tensor, scale: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(x) * scale}


class Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
    def __init__(self, count: int, seed: int) -> None:
        self.inputs, self.labels = blobs(count, seed)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.inputs[index], "scale": torch.ones(1), "labels": self.labels[index]}


@pytest.mark.filterwarnings("ignore:The teacher is at chance")
@pytest.mark.slow
def test_mappings_in_and_out(distil: Distil) -> None:
    run = distil(
        Named(), Named, DataLoader(Rows(90, 0), batch_size=30, shuffle=True), Rows(30, 1), test=Rows(30, 2)
    )
    assert run.results["student"]["quality"]["errors"]["per_seed"]


@pytest.mark.slow
def test_loaders_keep_their_batch_size_and_validation_is_drawn_from_train(
    teacher: nn.Module, distil: Distil
) -> None:
    loader = DataLoader(TensorDataset(*blobs(100, 0)), batch_size=45, shuffle=True)
    run = distil(teacher, small, loader, batch_size=None)
    assert run.results["student"]["steps"] == 2 * 2  # 90 examples stay, in two steps of 45, twice


@pytest.mark.slow
def test_a_forest_and_an_ensemble_teach(teacher: nn.Module, distil: Distil, tmp_path: Path) -> None:
    inputs, labels = blobs(90, 0)
    forest = RandomForestClassifier(5, random_state=0).fit(inputs.numpy(), labels.numpy())
    run = distil(forest, small, (inputs, labels), blobs(30, 1))
    assert run.results["teacher"]["cost"]["parameters"] is None
    both = distil([teacher, teacher], small, (inputs, labels), blobs(30, 1), out=tmp_path / "both")
    assert both.results["teacher"]["quality"]["accuracy"]["mean"] > 0.5


@pytest.mark.slow
def test_hints_between_layers_of_different_widths(teacher: nn.Module, distil: Distil) -> None:
    matches = [
        tl.Match(feature.Hint(), guided="1", hint=":output", weight=0.5),
        tl.Match(response.SoftTarget(temperature=2.0)),
    ]
    run = distil(matches=matches)
    details = json.loads((run.out / "details.json").read_text())
    assert details["about"]["networks"]["student"] == "Sequential"
    assert details["about"]["again"].startswith("tutelage.distill(\n    teacher,  # ")
    terms = details["curves"]["student"][0]["points"][0]["terms"]
    assert set(terms) == {"student/Hint(1)", "student/SoftTarget"}


@pytest.mark.slow
def test_without_control_nothing_is_shown(distil: Distil) -> None:
    run = distil(control=False)
    assert run.results["control"] is None
    assert run.verdict.word == "not shown"
    assert any("No control" in warning for warning in run.results["warnings"])


@pytest.mark.slow
def test_without_a_test_split_the_verdict_says_so(distil: Distil) -> None:
    run = distil(test=None)
    assert any("test set" in each for each in run.verdict.uncontrolled)


@pytest.mark.slow
def test_a_teacher_at_chance_is_a_warning_on_top(distil: Distil) -> None:
    hopeless = nn.Linear(5, 3)
    nn.init.zeros_(hopeless.weight)
    with torch.no_grad():
        hopeless.bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    with pytest.warns(TutelageWarning, match="at chance") as said:
        run = distil(hopeless, small, blobs(90, 0), blobs(30, 1))
    assert "nothing to teach" in str(said[0].message)
    assert any("The teacher is at chance" in line for line in run.results["sanity"])
    page = run.report.read_text()
    assert page.index("The teacher is at chance") < page.index("<table")


@pytest.mark.slow
def test_a_run_is_the_same_again(distil: Distil, tmp_path: Path) -> None:
    first, again = distil(), distil(out=tmp_path / "again")
    assert first.results["student"]["quality"] == again.results["student"]["quality"]
    assert first.verdict == again.verdict


@pytest.mark.slow
def test_a_taken_folder_is_refused_and_a_finished_run_is_read_again(distil: Distil) -> None:
    first = distil()
    with pytest.raises(OutputError, match="--resume"):
        distil()
    with pytest.raises(OutputError, match="another run"):
        distil(epochs=3)
    again = distil(resume=True)
    assert again.results["student"]["quality"] == first.results["student"]["quality"]


def test_a_folder_with_other_files_is_refused(distil: Distil, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="no run"):
        distil()
    assert (tmp_path / "run" / "thesis.txt").read_text() == "precious"


def test_class_counts_must_agree(distil: Distil) -> None:
    with pytest.raises(
        ModelError,
        match=r"teacher \(Linear\) answers with 3 numbers, and the student .* with 4 .* a head of 3",
    ):
        distil(nn.Linear(5, 3), lambda: nn.Linear(5, 4), blobs(90, 0), blobs(30, 1))


def test_labels_out_of_range(teacher: nn.Module, distil: Distil) -> None:
    inputs, labels = blobs(90, 0)
    with pytest.raises(DataError, match="label 3"):
        distil(teacher, small, (inputs, labels + 1), blobs(30, 1))


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(blobs(3, 0))


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (TensorDataset(torch.empty(0, 5), torch.empty(0, dtype=torch.int64)), "is empty"),
        (DataLoader(Stream()), "stream"),
        ({"x": torch.zeros(3, 5)}, "came as dict"),
        ("mnist", "came as str"),
    ],
)
def test_data_that_cannot_be_used(teacher: nn.Module, distil: Distil, train: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        distil(teacher, small, train, blobs(30, 1))


def test_wrong_names_name_the_nearest(distil: Distil, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Nearest: 'Adam'"):
        distil(optimizer={"adamv": {"lr": 0.1}})
    with pytest.raises(UnknownName, match="layer"):
        distil(matches=[tl.Match(feature.Hint(), guided="bodi", hint="")], out=tmp_path / "b")
    with pytest.raises(UnknownName, match="Nearest: 'epochs'"):
        distil(epoch=3, out=tmp_path / "c")


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_computed(
    distil: Distil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tutelage import files

    real = files.os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "results.json":
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        distil()
    assert (tmp_path / "run" / "seed1" / "student" / "student.safetensors").exists()
    monkeypatch.undo()
    assert distil(resume=True).report.exists()


# -- the arguments, as people write them -------------------------------------------------------------


def test_a_function_that_returns_one_network_twice_is_refused(teacher: nn.Module, distil: Distil) -> None:
    network = small()
    with pytest.raises(ModelError, match="the same network twice"):
        distil(teacher, lambda: network, blobs(90, 0), blobs(30, 1))
    with pytest.raises(ModelError, match="returned a NoneType"):
        distil(teacher, lambda: None, blobs(90, 0), blobs(30, 1))
    with pytest.raises(ModelError, match="the student came as 'resnet8'"):
        distil(teacher, "resnet8", blobs(90, 0), blobs(30, 1))


@pytest.mark.filterwarnings("ignore:.*is inert:tutelage.errors.TutelageWarning")  # it teaches itself
@pytest.mark.slow
def test_the_teacher_comes_back_as_it_was_and_may_be_the_student_too(
    teacher: nn.Module, distil: Distil
) -> None:
    teacher.train()
    teacher.bias.requires_grad_(False)
    run = distil(teacher, teacher, blobs(90, 0), blobs(30, 1))
    assert teacher.training
    assert [held.requires_grad for held in teacher.parameters()] == [True, False]
    assert run.results["student"]["steps"] > 0


@pytest.mark.parametrize(
    ("seeds", "says"), [([3, 3], "each may come once"), (0, "1 or more"), ([-1], "from 0"), ([0.5], "from 0")]
)
def test_seeds_that_cannot_be(distil: Distil, seeds: object, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        distil(seeds=seeds)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 0}, "batch_size: Input should be greater"),
        ({"epochs": 1.5}, "epochs: "),
        ({"precision": "float16"}, "precision: "),
        ({"optimizer": 3}, r"optimizer: came 3; expected a name.*for example"),
    ],
)
def test_settings_that_cannot_be(distil: Distil, options: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says) as error:
        distil(**options)
    assert "pydantic" not in str(error.value)


@pytest.mark.slow
def test_losses_stand_for_their_matches_and_a_name_for_its_optimizer(distil: Distil) -> None:
    run = distil(matches=response.SoftTarget(temperature=2.0), optimizer="adam")
    recorded = (run.out / "recipe.yaml").read_text()
    assert "temperature=2.0" in recorded
    assert "name: adam\n" in recorded


@pytest.mark.parametrize("came", ["resnet18", 3, small])
def test_teachers_that_cannot_be(distil: Distil, came: object) -> None:
    with pytest.raises(ModelError, match=r"the teacher (came as|cannot be called)"):
        distil(came, small, blobs(90, 0), blobs(30, 1))


@pytest.mark.slow
def test_a_function_teaches(distil: Distil) -> None:
    run = distil(lambda rows: 3 * rows[:, :3], small, blobs(90, 0), blobs(30, 1), control=False)
    assert run.results["teacher"]["quality"]["accuracy"]["mean"] > 0.5


@pytest.mark.slow
def test_a_teacher_that_reads_the_labels_is_said_to_know_nothing(distil: Distil) -> None:
    run = distil(Virtual(num_classes=3), small, blobs(90, 0), blobs(30, 1))
    assert run.results["gap_closed"] is None
    assert any("answers by the labels" in said for said in run.results["warnings"])


@pytest.mark.slow
def test_the_conflict_between_teachers_is_measured(distil: Distil, teacher: nn.Module) -> None:
    other = nn.Linear(5, 3)
    run = distil([teacher, other], small, blobs(90, 0), blobs(30, 1), control=False)
    found = run.results["teacher"]["conflict"]
    assert 0 < found["disagreement"]["mean"] <= 1
    assert found["divergence"]["mean"] > 0
    assert "Disagreement" in run.report.read_text()


@pytest.mark.filterwarnings("ignore:.*is inert:tutelage.errors.TutelageWarning")  # it begins as the student
@pytest.mark.slow
def test_a_student_is_taught_by_its_past(distil: Distil) -> None:
    soft = Match(response.SoftTarget(temperature=1.0), weight=Ramp(last=0.8, by_epoch=True))
    run = distil(PastSelf(), small, blobs(90, 0), blobs(30, 1), matches=[soft, response.HardLabel()])
    assert run.results["gap_closed"] is None
    assert run.results["teacher"] is None
    assert any("follows it" in said for said in run.results["warnings"])
    history = (run.out / "seed0" / "student" / "stage0" / "history.jsonl").read_text()
    assert '"weights"' in history


@pytest.mark.slow
def test_a_loss_that_compares_items_is_warned_of_parts(distil: Distil) -> None:
    with pytest.warns(
        TutelageWarning, match=r"ClassRelation compares the items.*\(accumulate 2, processes 1\)"
    ):
        distil(matches=response.ClassRelation(), accumulate=2)


# -- what is refused before anything is trained -------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "error", "says"),
    [
        ((blobs(9, 2)[0], blobs(9, 2)[1] + 5), DataError, "the test data has the label 5"),
        (
            (blobs(9, 2)[0][:, :2], blobs(9, 2)[1]),
            ModelError,
            r"the student \(Sequential\) cannot be called with an example of the test data, float32 \[1, 2\]",
        ),
    ],
)
def test_a_test_split_that_does_not_fit(
    distil: Distil, tmp_path: Path, test: object, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        distil(test=test)
    assert not (tmp_path / "run" / "seed0").exists()


def test_a_mapping_whose_labels_are_not_found(teacher: nn.Module, distil: Distil) -> None:
    inputs, labels = blobs(90, 0)
    rows = [{"image": x, "digit": y} for x, y in zip(inputs, labels, strict=True)]
    with pytest.raises(ModelError, match="No label was found among image, digit: name it labels"):
        distil(teacher, small, rows, rows)


def test_a_control_needs_labels(teacher: nn.Module, distil: Distil) -> None:
    bare = TensorDataset(blobs(90, 0)[0])
    with pytest.raises(DataError, match="control=False"):
        distil(teacher, small, bare, blobs(30, 1))
    hidden = blobs(90, 0)[0], torch.full((90,), UNLABELLED)
    with pytest.raises(DataError, match="control=False"):
        distil(teacher, small, hidden, blobs(30, 1))


def test_a_file_is_no_folder(distil: Distil, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OutputError, match="is a file"):
        distil()


def test_a_test_split_without_labels_is_refused_before_anything_is_trained(
    distil: Distil, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="the test data has no labels"):
        distil(test=torch.randn(20, 5), out=tmp_path / "none")
    assert not list(tmp_path.rglob("trained.json"))
