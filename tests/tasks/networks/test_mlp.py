from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.networks import MLP, mlp


def test_parameter_count_by_hand() -> None:
    network = mlp(num_classes=10, in_features=784, widths=[1200, 1200])
    by_hand = (784 * 1200 + 1200) + (1200 * 1200 + 1200) + (1200 * 10 + 10)
    assert by_hand == 2_395_210
    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 4), (5, 1, 3, 4)])
def test_flattens_any_example(shape: tuple[int, ...]) -> None:
    network = mlp(num_classes=3, in_features=12, widths=[7, 6])
    assert network(torch.randn(shape)).shape == (5, 3)


def test_hidden_gives_the_whole_activation_in_training() -> None:
    network = mlp(num_classes=3, in_features=4, widths=[50, 60], dropout=0.9, activation="sigmoid").train()
    seen = {}
    for name in ("hidden.0", "hidden.1"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.__setitem__(name, output)
        )
    network(torch.randn(2, 4))
    assert {name: tuple(value.shape) for name, value in seen.items()} == {
        "hidden.0": (2, 50),
        "hidden.1": (2, 60),
    }
    assert all((value > 0).all() for value in seen.values())  # no unit was dropped from what a hook sees


def test_dropouts_stand_where_they_should() -> None:
    network = mlp(num_classes=3, in_features=4, widths=[5, 6], dropout=0.5, input_dropout=0.2)
    drops = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert drops == [0.2, 0.5, 0.5]
    linear = mlp(num_classes=3, in_features=4, widths=[], dropout=0.5, input_dropout=0.2)
    assert linear.dropout.p == 0.2


def test_dropout_acts_in_training_only() -> None:
    network = mlp(num_classes=3, in_features=20, widths=[50], dropout=0.5)
    inputs = torch.randn(2, 20)
    assert not torch.equal(network(inputs), network(inputs))
    network.eval()
    assert torch.equal(network(inputs), network(inputs))


def test_no_widths_make_a_linear_model() -> None:
    network = mlp(num_classes=3, in_features=4, widths=[])
    inputs = torch.randn(2, 4)
    assert torch.equal(network(inputs), inputs @ network.head.weight.T + network.head.bias)


def test_input_of_another_size_is_named() -> None:
    network = mlp(num_classes=3, in_features=12, widths=[5])
    with pytest.raises(ModelError, match=r"\(1, 2, 7\) has 14 numbers.*reads 12.*in_features: 14"):
        network(torch.randn(2, 1, 2, 7))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"in_features": -1}, "in_features"),
        ({"widths": [4, 0]}, r"\[1\]"),
    ],
)
def test_wrong_sizes(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        mlp(**({"num_classes": 3, "in_features": 4, "widths": [5]} | wrong))  # type: ignore[arg-type]


def test_unknown_activation_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"'rellu'.*'relu'"):
        mlp(num_classes=3, in_features=4, widths=[5], activation="rellu")


def test_vision_exports_the_same_function() -> None:
    from tutelage.tasks.vision import models

    assert models.mlp is mlp
    assert isinstance(models.mlp(num_classes=2, in_features=3, widths=[4]), MLP)
