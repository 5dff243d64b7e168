"""Peers that hear stale copies of one another, in one process and in two."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together, together, weights
from torch import nn

from tutelage.errors import ModelError
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.schemes import Codistillation
from tutelage.studies.compared import differences
from tutelage.types import Batch, Moment

RECIPE = "vision/digits_codistillation"


def terms() -> list[Match]:
    return [Match(response.SoftTarget(temperature=1.0)), Match(response.HardLabel())]


def saying(*logits: float) -> nn.Linear:
    """A network that answers an input of 1 with these logits."""
    network = nn.Linear(1, len(logits), bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor(logits).unsqueeze(1))
    return network


def two() -> dict[str, nn.Module]:
    return {"student": saying(0, 0), "peer": saying(math.log(3), 0)}  # 1/2, 1/2 and 3/4, 1/4


def ones() -> Batch:
    return Batch(torch.ones(2, 1), torch.arange(2), torch.zeros(2, dtype=torch.long))


def at(step: int) -> Moment:
    return Moment(step=step, total=100, length=10)


def said(scheme: Codistillation, step: int) -> list[float]:
    """What each peer's soft term is at the beginning of a step."""
    turns = scheme.turns()
    for turn in turns:
        turn.before(at(step))
    return [turn.terms(ones())["SoftTarget"].item() for turn in turns]


def test_a_peer_hears_the_others_copy_after_the_first_exchange():
    held = two()
    scheme = Codistillation(held, terms(), every=5)
    assert said(scheme, 4) == [0, 0]  # nobody is heard yet
    first = [0.75 * math.log(1.5) + 0.25 * math.log(0.5), 0.5 * math.log(2 / 3) + 0.5 * math.log(2)]
    assert said(scheme, 5) == pytest.approx(first)
    with torch.no_grad():
        held["peer"].weight.zero_()  # it moves on, and its copy stays
    assert said(scheme, 6) == pytest.approx([first[0], 0], abs=1e-7)
    for turn in scheme.turns():
        turn.after(at(9))
    assert said(scheme, 9)[0] == pytest.approx(first[0])
    for turn in scheme.turns():
        turn.after(at(10))
    assert said(scheme, 10) == pytest.approx([0, 0], abs=1e-7)


def test_a_longer_burn_in():
    scheme = Codistillation(two(), terms(), every=5, burn_in=12)
    assert [sum(said(scheme, step)) > 0 for step in (5, 11, 12)] == [False, False, True]


def test_three_peers_hear_the_mean_of_the_copies():
    held = {**two(), "other": saying(0, math.log(3))}
    first, *_ = said(Codistillation(held, terms(), every=1), 1)
    assert first == pytest.approx(0, abs=1e-7)  # 3/4, 1/4 and 1/4, 3/4 on average


def test_copies_are_stored_and_nobody_moves_them():
    scheme = Codistillation(two(), terms(), every=5)
    assert list(scheme.modules) == [
        *("student", "student_matches", "peer", "peer_matches"),
        *("student_copy", "peer_copy"),
    ]
    assert not any(p.requires_grad for p in scheme.modules["peer_copy"].parameters())
    assert [(turn.name, turn.exchange.every) for turn in scheme.turns()] == [("student", 5), ("peer", 5)]


def test_where_nobody_is_heard_nothing_is_copied_nor_exchanged():
    scheme = Codistillation(two(), terms()[1:], every=5)
    assert list(scheme.modules) == ["student", "student_matches", "peer", "peer_matches"]
    assert [turn.exchange.every for turn in scheme.turns()] == [None, None]
    assert Codistillation.declare(terms()[1:], ["student", "peer"]).passes == 0


def test_refused():
    with pytest.raises(ModelError, match=r"came with the networks \['student'\]; it needs two or more"):
        Codistillation({"student": saying(0, 0)}, terms())
    with pytest.raises(ModelError, match="give Codistillation terms on logits"):
        Codistillation(two(), [Match(feature.Hint(), guided="")])
    for options, message in (
        ({"every": 0}, "every came as 0; expected a whole number of steps, 1 or more"),
        ({"burn_in": 1.5}, r"burn_in came as 1\.5; expected a whole number of steps, 0 or more"),
    ):
        with pytest.raises(ModelError, match=message):
            Codistillation(two(), terms(), **options)
        with pytest.raises(ModelError, match=message):
            Codistillation.declare(terms(), ["student", "peer"], **options)


def test_a_run_says_what_the_copies_cost():
    study = build(load(RECIPE), "codistillation")
    assert {name: one.against for name, one in study.outcomes.items() if one.against} == {
        "student": "student alone",
        "peer": "peer alone",
    }
    assert differences(study, "student", "student alone") == [
        "compute: each step of the student also takes 2 forward passes in which networks answer one another; "
        "steps are equal, seconds are not"
    ]
    assert not study.asks


SGD = "{sgd: {lr: 0.05, momentum: 0.9}}"


def few(steps: int = 12) -> list[str]:
    """Changes of the recipe: few steps, a copy after each third of them."""
    return [
        f"stages.0.train={{steps: {steps}, batch_size: 23, log_every: 5, checkpoint_every: 0, keep: last}}",
        "stages.0.scheme.codistillation.every=3",
        f"stages.0.optimizers={{student: {SGD}, peer: {SGD}}}",
    ]


@pytest.mark.slow
def test_peers_in_two_processes_equal_the_same_peers_in_one(tmp_path: Path):
    """Each process moves its own peer, with the whole batch; the histories are the same too."""
    same_in_parts_and_together(RECIPE, few(), tmp_path)
    one, both = (
        [json.loads(line) for line in (folder / "student/stage0/history.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "whole", tmp_path / "together" / "run")
    )
    assert len(one) == len(both) >= 3
    for ours, theirs in zip(one, both, strict=True):
        assert ours.keys() == theirs.keys()
        for key in ("terms", "lr", "weights", "shares", "validations"):
            assert ours.get(key, {}) == theirs.get(key, {}), key


@pytest.mark.slow
def test_what_two_processes_broke_off_goes_on_in_one(tmp_path: Path):
    """The checkpoint of two processes holds both peers, both optimisers and the copies."""
    together(RECIPE, few(7), tmp_path)
    for arm in ("control", "student"):
        for mark in ("trained.json", "stage0/fitted.json"):
            (tmp_path / "run" / arm / mark).unlink()
    resumed, whole = weights(RECIPE, few(), tmp_path / "run"), weights(RECIPE, few(), tmp_path / "whole")
    for key, value in whole.items():
        torch.testing.assert_close(
            resumed[key], value, rtol=1e-6, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}"
        )
