"""What peers say together, and peers that follow an ensemble of all."""

from __future__ import annotations

import math

import pytest
import torch
from carrying import same_in_parts_and_together
from torch import nn

from tutelage.errors import ModelError, UnknownName
from tutelage.losses import response
from tutelage.match import Match
from tutelage.schemes import Mutual
from tutelage.schemes.peers import ensemble_of, mean_of
from tutelage.types import UNLABELLED, Batch, Outputs


def answers(*rows: list[list[float]]) -> dict[str, Outputs]:
    return {f"peer{number}": Outputs(torch.tensor(row)) for number, row in enumerate(rows)}


def labelled(*labels: int, mask: list[bool] | None = None) -> Batch:
    held = None if mask is None else torch.tensor(mask)
    return Batch(torch.ones(len(labels), 1), torch.arange(len(labels)), torch.tensor(labels), held)


def test_naive_takes_the_peer_with_the_least_cross_entropy_for_each_item():
    said = answers([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0]], [[9.0, 8.5, 0.0], [0.0, 1.0, 0.0]])
    # item 0, class 0: log(e²/(e²+2)) = −0.24 against −log(1+e^−0.5+e^−9) = −0.47; item 1, class 1: 5 beats 1
    found = ensemble_of(said, labelled(0, 1), "naive").logits
    assert found.tolist() == [[2.0, 0.0, 0.0], [0.0, 5.0, 0.0]]
    assert ensemble_of(said, labelled(1, 0), "naive").logits.tolist() == [[9.0, 8.5, 0.0], [0.0, 1.0, 0.0]]


def test_min_logit_is_the_least_margin_of_each_class():
    said = answers([[3.0, 1.0, 2.5]], [[2.0, 1.5, 0.0]])
    found = ensemble_of(said, labelled(0), "min_logit").logits
    assert found.tolist() == [[0.0, -2.0, -2.0]]  # 1 − 3 against 1.5 − 2; 2.5 − 3 against 0 − 2


@pytest.mark.parametrize("kind", ["naive", "min_logit"])
def test_an_item_without_a_label_or_masked_gets_the_mean(kind: str):
    said = answers([[4.0, 0.0], [4.0, 0.0]], [[0.0, 2.0], [0.0, 2.0]])
    found = ensemble_of(said, labelled(UNLABELLED, 0, mask=[True, False]), kind).logits
    assert found.tolist() == [[2.0, 1.0]] * 2
    assert ensemble_of(said, labelled(0, 0), "mean").logits.tolist() == [[2.0, 1.0]] * 2


def test_what_is_heard_has_no_gradient():
    own = torch.ones(1, 2, requires_grad=True)
    for kind in ("naive", "min_logit", "mean"):
        assert not ensemble_of({"a": Outputs(own), "b": Outputs(own)}, labelled(0), kind).logits.requires_grad


def test_refused():
    said = answers([[1.0, 0.0]], [[0.0, 1.0]])
    with pytest.raises(UnknownName, match=r"unknown ensemble 'min'.*'min_logit'"):
        ensemble_of(said, labelled(0), "min")
    with pytest.raises(ModelError, match="the ensemble naive is made by labels, and the batch has none"):
        ensemble_of(said, Batch(torch.ones(1, 1), torch.arange(1)), "naive")
    with pytest.raises(ModelError, match="the a answers without logits"):
        mean_of({"a": Outputs(), "b": Outputs()})


# -- in Mutual ---------------------------------------------------------------------------------------


def saying(*logits: float) -> nn.Linear:
    network = nn.Linear(1, len(logits), bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor(logits).unsqueeze(1))
    return network


def follow(ensemble: str) -> list[float]:
    three = math.log(3)
    held = {"student": saying(three, 0), "peer": saying(0, three)}
    terms = [Match(response.SoftTarget(temperature=1.0)), Match(response.HardLabel())]
    turns = Mutual(held, terms, ensemble=ensemble).turns()
    return [turn.terms(labelled(0, 0))["SoftTarget"].item() for turn in turns]


def test_all_peers_follow_one_answer_and_the_one_that_learns_is_part_of_it():
    """The label is class 0: the student says 3/4, 1/4 and the peer 1/4, 3/4."""
    apart = 0.75 * math.log(3) + 0.25 * math.log(1 / 3)
    assert follow("naive") == pytest.approx([0, apart], abs=1e-6)  # the student is right
    assert follow("min_logit") == pytest.approx([0, apart], abs=1e-6)  # margins −log 3 and log 3
    even = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert follow("mean") == pytest.approx([even, even], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", ["naive", "min_logit", "mean"])
def test_parts_and_processes_leave_the_same_weights(tmp_path, ensemble: str):
    sgd = "{sgd: {lr: 0.05, momentum: 0.9}}"
    changes = [
        "stages.0.train={steps: 6, batch_size: 23}",
        f"stages.0.scheme.mutual.ensemble={ensemble}",
        f"stages.0.optimizers={{student: {sgd}, peer: {sgd}}}",
    ]
    same_in_parts_and_together("vision/digits_kdcl", changes, tmp_path)


def test_an_ensemble_that_is_not_there_is_refused_before_anything_is_built():
    for refuse in (
        lambda: Mutual({"student": saying(0, 0), "peer": saying(0, 0)}, [], ensemble="maximum"),
        lambda: Mutual.declare([], ["student", "peer"], ensemble="maximum"),
    ):
        with pytest.raises(UnknownName, match="unknown ensemble 'maximum'"):
            refuse()


def test_the_ensemble_costs_no_more_than_the_others_mean():
    terms = [Match(response.SoftTarget()), Match(response.HardLabel())]
    names = ["student", "peer", "other"]
    assert Mutual.declare(terms, names).passes == Mutual.declare(terms, names, ensemble="mean").passes == 6
    assert Mutual.declare(terms[1:], names).passes == 0
