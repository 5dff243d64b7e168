"""Inputs that are searched for: how far they walk, what they keep, who moves, a run on real digits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from carrying import same_in_parts_and_together
from torch import nn

from tutelage.errors import ModelError
from tutelage.losses import response
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.schemes import Searched
from tutelage.teachers import Frozen, Function
from tutelage.types import Batch, Moment

RECIPE = "vision/digits_critic"  # digits, in place of MNIST, with the scheme taken out
SGD = "{student: {sgd: {lr: 0.05, momentum: 0.9}}}"
SEARCH = "{searched: {share: 0.5, steps: 2, size: 0.1, matches: [{loss: response.SoftTarget}]}}"
CHANGES = [f"stages.0.scheme={SEARCH}", f"stages.0.optimizers={SGD}", "networks={}", "also={}"]


def soft() -> Match:
    return Match(response.SoftTarget(temperature=2.0))


def net(*inside: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), *inside, nn.Linear(5, 3))


def scheme(*matches: Match, student: nn.Module | None = None, **options: Any) -> Searched:
    torch.manual_seed(0)
    return Searched(student or net(), Frozen(net()), matches or [soft()], **options)


def batch(count: int = 8) -> Batch:
    inputs = torch.randn(count, 4, generator=torch.Generator().manual_seed(3))
    return Batch(inputs, torch.arange(count), torch.arange(count) % 3)


def at(move: int) -> Moment:
    return Moment(move, 10, 10, move)


def made(held: Searched, given: Batch, move: int = 0) -> Batch:
    makes = held.turns()[0].makes
    assert makes is not None
    return makes(given, at(move))


def saying(*logits: float) -> nn.Linear:
    """A network that answers each input of one number with that number times these logits."""
    network = nn.Linear(1, len(logits), bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor(logits).unsqueeze(1))
    return network


def test_steps_by_hand():
    """Teacher (x, 0), student (0, 0): they agree at 0, and the divergence rises on both sides of it."""
    held = Searched(
        saying(0.0, 0.0), Frozen(saying(1.0, 0.0)), [soft()], share=1.0, steps=3, size=0.5, high=2.0
    )
    given = Batch(torch.tensor([[1.0], [-1.0], [0.0]]), torch.arange(3))
    assert made(held, given).inputs.flatten().tolist() == pytest.approx([2.0, -2.5, 0.0])  # 2.5, bounded


def test_the_divergence_rises_from_step_to_step():
    found = [made(scheme(share=1.0, steps=steps, size=0.05), batch()).inputs for steps in (1, 2, 4)]
    held = scheme()
    apart = [held._apart(Batch(inputs, batch().ids)).mean().item() for inputs in (batch().inputs, *found)]
    assert apart == sorted(apart)
    assert apart[-1] > 1.1 * apart[0]


def test_a_step_is_as_long_as_said_and_examples_do_not_know_one_another():
    held = scheme(share=1.0, steps=1, size=0.1)
    whole, parts = made(held, batch()).inputs, []
    for start in (0, 3):
        some = slice(start, 3 if start == 0 else 8)
        parts.append(made(held, Batch(batch().inputs[some], batch().ids[some])).inputs)
    torch.testing.assert_close((whole - batch().inputs).square().mean(1).sqrt(), torch.full((8,), 0.1))
    torch.testing.assert_close(torch.cat(parts), whole)


def test_what_stays_keeps_its_label_and_what_walks_is_drawn_anew():
    held = scheme(share=0.5)
    one, again, other = (made(held, batch(), move) for move in (0, 0, 1))
    walked = (one.inputs != batch().inputs).any(1)
    assert 0 < int(walked.sum()) < 8
    assert one.labels.tolist() == torch.where(walked, -100, batch().labels).tolist()
    assert torch.equal(one.inputs, again.inputs)
    assert not torch.equal(one.labels, other.labels)


def test_a_search_leaves_both_networks_as_they_were():
    student = net(nn.BatchNorm1d(5), nn.Dropout(0.5))
    held = scheme(student=student)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    found = made(held, batch())
    assert not found.inputs.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in student.parameters())
    assert all(layer.training for layer in student.modules())
    assert all(p.grad is None for p in held.teacher.parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"share": 0}, "share came as 0"),
        ({"steps": 0}, "steps came as 0"),
        ({"size": math.inf}, "size came as inf"),
        ({"low": 1.0, "high": 0.0}, "low came as 1.0 and high as 0.0"),
    ],
)
def test_settings_out_of_range(options, said):
    with pytest.raises(ModelError, match=said):
        scheme(**options)


def test_what_cannot_be_searched_for():
    with pytest.raises(ModelError, match="no match that needs a teacher"):
        scheme(Match(response.HardLabel()))
    with pytest.raises(ModelError, match=r"int64, and Searched walks on numbers"):
        scheme().prepare(Batch(torch.zeros(2, 4, dtype=torch.int64), torch.arange(2)))
    with pytest.raises(ModelError, match="no gradient passes through Function"):
        Searched(net(), Function(lambda inputs: inputs[:, :3].detach()), [soft()]).prepare(batch())


def test_in_a_recipe_it_is_asked_about_what_it_makes_and_the_control_learns_by_labels():
    study = build(load(RECIPE, changes=CHANGES), "searched")
    ((_, stage),) = study.arms["student"].trainings
    assert stage.declared.asks == "made"
    ((_, alone),) = study.arms["control"].trainings
    assert alone.declared.asks == "nobody"


@pytest.mark.slow
def test_in_parts_and_on_two_processes(tmp_path: Path):
    changes = [
        *CHANGES,
        "teacher.frozen.train={epochs: 1, batch_size: 64}",
        f"teacher.frozen.optimizers={SGD}",
        "stages.0.train={steps: 6, batch_size: 23}",
    ]
    same_in_parts_and_together(RECIPE, changes, tmp_path)


@pytest.mark.slow
def test_a_run_on_digits(tmp_path: Path):
    changes = [*CHANGES, "teacher.frozen.train.epochs=8", "stages.0.train.epochs=8"]
    done = run(
        build(load(RECIPE, changes=changes), "searched", seeds=2), tmp_path / "run", quiet=True, cpu=True
    )
    held = json.loads((done.out / "results.json").read_text())
    assert held["student"]["quality"]["accuracy"]["mean"] > 0.8
