"""Seeds that are added, break off, or are copies of one another; a placebo; partly labelled data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import tutelage as tl
from tutelage.errors import OutputError
from tutelage.losses import feature, response

pytestmark = pytest.mark.slow

SGD = {"sgd": {"lr": 0.1}}


def blobs(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = torch.tensor([[0.0, 2.0], [2.0, 0.0], [-2.0, -2.0]])
    return centres[labels] + torch.randn(count, 2, generator=generator), labels


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))
    inputs, labels = blobs(300, 9)
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    return network


def distil(teacher: nn.Module, out: Path, **changes):
    given = {"epochs": 2, "batch_size": 30, "optimizer": SGD, "seeds": 3, "placebo": False, "quiet": True}
    given |= changes
    student = given.pop("student", small)
    train = given.pop("train", blobs(90, 0))
    return tl.distill(teacher, student, train, blobs(60, 1), test=blobs(90, 2), out=out, **given)


def test_seeds_extend_a_finished_run_and_looking_again_costs(teacher, tmp_path):
    first = distil(teacher, tmp_path / "run")
    weights = tmp_path / "run" / "seed1" / "student" / "student.safetensors"
    before = weights.stat().st_mtime_ns
    more = distil(teacher, tmp_path / "run", seeds=5, resume=True)
    assert weights.stat().st_mtime_ns == before  # what was trained is read
    assert more.results["seeds"] == [0, 1, 2, 3, 4]
    for arm in ("control", "student"):
        old, new = (run.results[arm]["quality"]["accuracy"]["per_seed"] for run in (first, more))
        assert new[:3] == old
    assert (first.results["looks"], more.results["looks"]) == (1, 2)
    assert more.verdict.level == pytest.approx(0.975)
    whole = distil(teacher, tmp_path / "whole", seeds=5)
    assert whole.results["student"]["quality"] == more.results["student"]["quality"]
    assert whole.verdict.level == pytest.approx(0.95)
    again = distil(teacher, tmp_path / "run", seeds=5, resume=True)  # the same look, once more
    assert again.results["looks"] == 2


def test_seeds_are_not_taken_away_or_exchanged(teacher, tmp_path):
    distil(teacher, tmp_path / "run")
    for seeds in ([0, 1], [0, 1, 7]):
        with pytest.raises(OutputError, match="another run"):
            distil(teacher, tmp_path / "run", seeds=seeds, resume=True)


def test_a_run_of_before_is_refused_with_what_can_be_done(teacher, tmp_path):
    distil(teacher, tmp_path / "run")
    mark = tmp_path / "run" / "run.json"
    held = json.loads(mark.read_text())
    mark.write_text(json.dumps({key: held[key] for key in ("name", "seeds", "recipe")}))
    with pytest.raises(OutputError, match="earlier version, which can be read"):
        distil(teacher, tmp_path / "run", resume=True)


class Breaks(nn.Module):
    """A student whose numbers are not finite where its first weight is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.body = small()
        self.bad = bool(self.body[0].bias[0] < 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) * (torch.nan if self.bad and self.training else 1.0)


def test_a_failed_seed_does_not_end_the_run_and_is_counted(teacher, tmp_path):
    run = distil(teacher, tmp_path / "run", student=Breaks, seeds=5)
    failed = run.results["student"]["failed_seeds"]
    assert 0 < len(failed) < 5
    assert run.results["control"]["failed_seeds"] == failed
    assert len(run.results["student"]["quality"]["accuracy"]["per_seed"]) == 5 - len(failed)
    assert run.verdict.seeds == 5
    assert any("failed" in line for line in run.results["sanity"])
    again = distil(teacher, tmp_path / "run", student=Breaks, seeds=5, resume=True)
    assert again.results["student"]["failed_seeds"] == failed


def test_nothing_is_judged_where_all_seeds_are_copies(teacher, tmp_path):
    run = distil(teacher, tmp_path / "run", student=small(), batch_size=90)
    assert run.verdict.word == "not shown"
    assert run.verdict.interval is None
    assert "all seeds ended with equal weights" in run.verdict.why


def test_no_word_below_three_seeds(teacher, tmp_path):
    run = distil(teacher, tmp_path / "run", seeds=2)
    assert (run.verdict.word, run.verdict.interval) == ("not shown", None)
    assert any("three" in each for each in run.verdict.advice)


def test_a_placebo_repeats_the_labels_by_the_same_terms(teacher, tmp_path):
    terms = [tl.Match(response.SoftTarget(temperature=2.0)), tl.Match(response.HardLabel())]
    run = distil(teacher, tmp_path / "run", placebo=True, matches=terms)
    assert list(run.results["outcomes"]) == ["control", "placebo", "student"]
    assert run.results["outcomes"]["placebo"]["cost"]["train_seconds_of_teacher"] == 0
    assert [(v["of"], v["against"]) for v in run.results["verdicts"]] == [
        ("student", "control"),
        ("student", "placebo"),
    ]
    hint = tl.Match(feature.Hint(), guided="1", hint="1")
    with pytest.raises(tl.TutelageError, match="has no layers"):
        distil(teacher, tmp_path / "layers", placebo=True, matches=[hint, response.HardLabel()])


@pytest.mark.slow
def test_a_placebo_runs_by_itself_where_it_is_cheap(teacher, tmp_path):
    dear = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), teacher[2])
    assert "placebo" in distil(dear, tmp_path / "dear", placebo=None, seeds=1).results["outcomes"]
    assert "placebo" not in distil(small(), tmp_path / "cheap", placebo=None, seeds=1).results["outcomes"]


def test_partly_labelled_data_give_the_control_full_batches(teacher, tmp_path):
    inputs, labels = blobs(90, 0)
    labels[30:] = -100
    run = distil(teacher, tmp_path / "run", train=(inputs, labels), epochs=4, batch_size=15)
    assert run.results["control"]["steps"] == run.results["student"]["steps"] == 24
    assert "data: the student saw 90 examples and the control 30" in run.verdict.uncontrolled
    assert run.results["control"]["quality"]["accuracy"]["mean"] > 0.8


@pytest.mark.parametrize("other", ["teacher", "student", "train"])
def test_a_run_goes_on_with_what_it_began_with(teacher, tmp_path, other):
    distil(teacher, tmp_path / "run")
    changed = {
        "teacher": {},
        "student": {"student": lambda: nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3))},
        "train": {"train": blobs(60, 0)},
    }[other]
    torch.manual_seed(3)
    teaches = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3)) if other == "teacher" else teacher
    with pytest.raises(OutputError, match=f"it differs in .*{other}"):
        distil(teaches, tmp_path / "run", seeds=5, resume=True, **changed)
