from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError, UnknownName
from tutelage.evaluation import cost
from tutelage.tasks.networks import mlp
from tutelage.tasks.vision.models import mlp_with_exits


def network(**options):
    return mlp_with_exits(**({"num_classes": 3, "in_features": 12, "widths": [5, 6, 7]} | options))


def test_parameter_count_by_hand() -> None:
    deep = (12 * 5 + 5) + (5 * 6 + 6) + (6 * 7 + 7) + (7 * 3 + 3)
    early = (5 * 3 + 3) + (6 * 3 + 3)
    assert sum(parameter.numel() for parameter in network().parameters()) == deep + early


def test_answers_at_each_exit_and_the_deepest_first() -> None:
    answer = network()(torch.randn(4, 1, 3, 4))
    assert list(answer) == ["logits", "exit1", "exit2"]
    assert all(logits.shape == (4, 3) for logits in answer.values())


@pytest.mark.parametrize(("exit_", "widths"), [("exit1", [5]), ("exit2", [5, 6])])
def test_a_part_is_a_plain_perceptron_on_the_same_weights(exit_: str, widths: list[int]) -> None:
    whole = network(dropout=0.5).eval()
    state = torch.get_rng_state()
    part = whole.ending_at(exit_)
    assert torch.equal(torch.get_rng_state(), state)
    inputs = torch.randn(4, 12)
    assert not part.training
    assert torch.equal(part(inputs), whole(inputs)[exit_])
    assert {id(p) for p in part.parameters()} < {id(p) for p in whole.parameters()}
    plain = mlp(num_classes=3, in_features=12, widths=widths).eval()
    plain.load_state_dict(part.state_dict())
    assert torch.equal(plain(inputs), part(inputs))


def test_a_part_pays_for_itself_alone() -> None:
    whole = network()
    parts = [whole.ending_at("exit1"), whole.ending_at("exit2"), whole]
    costs = [cost(part, torch.zeros(1, 12), device=torch.device("cpu"), latency=False) for part in parts]
    assert [one["parameters"] for one in costs] == [65 + 18, 65 + 36 + 21, 213]
    assert costs[0]["flops"] < costs[1]["flops"] < costs[2]["flops"]


def test_one_hidden_layer_has_no_early_exit() -> None:
    with pytest.raises(ModelError, match=r"widths came as \[5\]; .* two widths or more, or take mlp"):
        network(widths=[5])


def test_an_exit_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"'exit3'.*'exit"):
        network().ending_at("exit3")
