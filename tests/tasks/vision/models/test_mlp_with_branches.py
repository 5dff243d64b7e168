from __future__ import annotations

import math

import pytest
import torch

from tutelage.errors import ModelError, UnknownName
from tutelage.evaluation import cost
from tutelage.losses import response
from tutelage.match import Match
from tutelage.schemes import Exits
from tutelage.tasks.networks import mlp
from tutelage.tasks.vision.models import mlp_with_branches
from tutelage.types import Batch


def network(**options):
    held = {"num_classes": 3, "in_features": 12, "trunk": [5, 6], "branch": [7], "num_branches": 2}
    return mlp_with_branches(**(held | options))


def test_parameter_count_by_hand() -> None:
    trunk, branch, gate = (12 * 5 + 5) + (5 * 6 + 6), (6 * 7 + 7) + (7 * 3 + 3), 6 * 2 + 2
    assert sum(parameter.numel() for parameter in network().parameters()) == trunk + 2 * branch + gate


def test_the_whole_is_the_gated_sum_of_its_branches() -> None:
    held = network(trunk=[1], branch=[], in_features=1, num_classes=2)
    with torch.no_grad():
        held.hidden[0].linear.weight.fill_(1.0)
        held.hidden[0].linear.bias.zero_()
        held.gate.weight.copy_(torch.tensor([[math.log(3)], [0.0]]))  # 3/4 and 1/4 where the trunk gives 1
        held.gate.bias.zero_()
        for name, weights in {"branch1": [[4.0], [0.0]], "branch2": [[0.0], [8.0]]}.items():
            held.branches[name].head.weight.copy_(torch.tensor(weights))
            held.branches[name].head.bias.zero_()
    answer = held(torch.ones(1, 1))
    assert list(answer) == ["logits", "branch1", "branch2"]
    assert answer["branch1"].tolist() == [[4, 0]]
    assert answer["logits"].flatten().tolist() == pytest.approx([3, 2])
    assert held(torch.zeros(1, 1))["logits"].tolist() == [[0, 0]]


@pytest.mark.parametrize("branch", [[7], []])
def test_trunk_and_a_branch_are_a_plain_perceptron_on_the_same_weights(branch: list[int]) -> None:
    whole = network(dropout=0.5, branch=branch).eval()
    state = torch.get_rng_state()
    part = whole.ending_at("branch2")
    assert torch.equal(torch.get_rng_state(), state)
    inputs = torch.randn(4, 12)
    assert not part.training
    assert torch.equal(part(inputs), whole(inputs)["branch2"])
    assert {id(p) for p in part.parameters()} < {id(p) for p in whole.parameters()}
    plain = mlp(num_classes=3, in_features=12, widths=[5, 6, *branch], dropout=0.5)
    plain.load_state_dict(part.state_dict())
    assert torch.equal(plain.eval()(inputs), part(inputs))
    assert [m.p for m in plain.modules() if isinstance(m, torch.nn.Dropout)] == [
        m.p for m in part.modules() if isinstance(m, torch.nn.Dropout)
    ]


def test_a_part_pays_for_itself_alone() -> None:
    costs = [
        cost(part, torch.zeros(1, 12), device=torch.device("cpu"), latency=False)
        for part in (network().ending_at("branch1"), network())
    ]
    assert costs[0]["parameters"] == 65 + 36 + 49 + 24
    assert costs[0]["flops"] < costs[1]["flops"]


def test_the_ensemble_teaches_each_branch_and_its_gate_learns_by_labels() -> None:
    held = network()
    terms = [Match(response.HardLabel()), Match(response.SoftTarget(temperature=3.0))]
    (turn,) = Exits(held, terms, ["branch1", "branch2"]).turns()
    batch = Batch(torch.randn(4, 12), torch.arange(4), torch.arange(4) % 3)
    found = turn.terms(batch)
    assert [name for name in found if name.startswith("Soft")] == ["SoftTarget branch1", "SoftTarget branch2"]
    sum(term for name, term in found.items() if name.startswith("Soft")).backward(retain_graph=True)
    assert held.gate.weight.grad is None
    assert held.branches["branch1"].head.weight.grad.abs().sum() > 0
    found["HardLabel"].backward()
    assert held.gate.weight.grad.abs().sum() > 0


def test_labels_at_one_branch_alone_train_the_plain_perceptron() -> None:
    held = network()
    match = Match(response.HardLabel(), guided=":output.branch1")
    (turn,) = Exits(held, [match], ["branch1", "branch2"]).turns()
    sum(turn.terms(Batch(torch.randn(4, 12), torch.arange(4), torch.arange(4) % 3)).values()).backward()
    moved = {id(p) for p in held.parameters() if p.grad is not None}
    assert moved == {id(p) for p in held.ending_at("branch1").parameters()}


@pytest.mark.parametrize("wrong", [{"trunk": []}, {"num_branches": 1}])
def test_an_ensemble_needs_a_trunk_and_two_branches(wrong) -> None:
    with pytest.raises(
        ModelError, match=r"give the trunk one hidden layer or more, and two branches or more"
    ):
        network(**wrong)


def test_a_branch_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown branch 'branch3'.*'branch"):
        network().ending_at("branch3")
