"""The multilayer perceptron, for pictures as rows of pixels and for tables."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.networks.checks import require_positive

__all__ = ["MLP", "mlp"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class MLP(nn.Module):
    """A multilayer perceptron (MLP) that flattens what it reads.

    Dropout stands before each linear layer, so that the output of `hidden.i` is the whole activation, as a
    guided or a hint layer wants it.

    Args:
        num_classes: how many logits it answers.
        in_features: numbers in one flattened example.
        widths: units of each hidden layer; none make a linear model.
        dropout: the probability that a hidden unit is dropped in training.
        input_dropout: the probability that an input is dropped in training.
        activation: "relu", "gelu", "silu", "tanh" or "sigmoid".

    Shapes:
        [N, …] with `in_features` numbers an example -> [N, num_classes]; `hidden.i` gives [N, widths[i]].

    Raises:
        ModelError: a size below 1, or an input of another size than `in_features`.
        UnknownName: an activation that is not in the list.

    Source:
        The digit networks of Hinton et al. 2015, section 3, have two hidden layers of rectified units with
        dropout; weights start as torch starts them (the paper does not say).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_features: int,
        widths: Sequence[int],
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        require_positive(num_classes=num_classes, in_features=in_features)
        require_positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        if activation not in ACTIVATIONS:
            raise UnknownName("activation", activation, ACTIVATIONS)
        sizes = [in_features, *widths]
        drops = [input_dropout] + [dropout] * len(widths)
        self.in_features = in_features
        self.hidden = nn.ModuleList(
            _block(in_size, size, drop, ACTIVATIONS[activation])
            for (in_size, size), drop in zip(pairwise(sizes), drops, strict=False)
        )
        self.dropout = nn.Dropout(drops[-1])
        self.head = nn.Linear(sizes[-1], num_classes)

    def forward(self, inputs: Float[Tensor, "items ..."]) -> Float[Tensor, "items classes"]:
        """Logits of a batch."""
        values = self.flattened(inputs)
        for block in self.hidden:
            values = block(values)
        logits: Tensor = self.head(self.dropout(values))
        return logits

    def flattened(self, inputs: Float[Tensor, "items ..."]) -> Float[Tensor, "items numbers"]:
        """Each example as a row of numbers."""
        values = inputs.flatten(1)
        if values.shape[1] != self.in_features:
            raise ModelError(
                f"an example of shape {tuple(inputs.shape[1:])} has {values.shape[1]} numbers; this mlp "
                f"reads {self.in_features}. Set in_features: {values.shape[1]}, or feed other examples."
            )
        return values


def _block(in_size: int, size: int, drop: float, activation: type[nn.Module]) -> nn.Sequential:
    layers = {"dropout": nn.Dropout(drop), "linear": nn.Linear(in_size, size), "activation": activation()}
    return nn.Sequential(OrderedDict(layers))


def mlp(
    *,
    num_classes: int,
    in_features: int,
    widths: Sequence[int],
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    activation: str = "relu",
) -> MLP:
    """A multilayer perceptron; arguments, shapes and source are those of `MLP`."""
    return MLP(
        num_classes=num_classes,
        in_features=in_features,
        widths=widths,
        dropout=dropout,
        input_dropout=input_dropout,
        activation=activation,
    )
