"""The multilayer perceptron with an answer after each hidden layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.networks import MLP, EarlyExit, Enough

__all__ = ["MLPWithExits", "mlp_with_exits"]


class MLPWithExits(MLP):
    """A multilayer perceptron (MLP) that also answers early, after each hidden layer but the last.

    Each exit is one linear layer on what its hidden layer gives. The part that ends at an exit is a network
    of its own: `ending_at("exit1")` is a plain `mlp` with one hidden layer, on the same weights.

    Args:
        num_classes: how many logits each exit answers.
        in_features: numbers in one flattened example.
        widths: units of each hidden layer, two of them or more; one exit less than these stands early.
        dropout: the probability that a hidden unit is dropped in training.
        input_dropout: the probability that an input is dropped in training.
        activation: "relu", "gelu", "silu", "tanh" or "sigmoid".

    Shapes:
        [N, …] with `in_features` numbers an example -> a mapping: "logits", the deepest answer, and "exit1",
        "exit2", …, each [N, num_classes].

    Raises:
        ModelError: fewer than two hidden layers, a size below 1, or an input of another size.
        UnknownName: an activation that is not in the list.

    Source:
        Zhang et al. 2019, "Be Your Own Teacher", figure 2, puts exits after the stages of a convolutional
        network, each with a bottleneck of convolutions; here linear layers on hidden ones.

    Example:
        >>> network = mlp_with_exits(num_classes=10, in_features=64, widths=[32, 16])
        >>> {name: tuple(logits.shape) for name, logits in network(torch.zeros(5, 64)).items()}
        {'logits': (5, 10), 'exit1': (5, 10)}
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
        super().__init__(
            num_classes=num_classes,
            in_features=in_features,
            widths=widths,
            dropout=dropout,
            input_dropout=input_dropout,
            activation=activation,
        )
        if len(widths) < 2:
            raise ModelError(
                f"widths came as {list(widths)}; an early exit stands before the last hidden layer: give two "
                "widths or more, or take mlp"
            )
        early = {
            f"exit{number}": nn.Linear(width, num_classes) for number, width in enumerate(widths[:-1], 1)
        }
        self.exits = nn.ModuleDict(early)

    def forward(  # type: ignore[override]
        self, inputs: Float[Tensor, "items ..."]
    ) -> dict[str, Float[Tensor, "items classes"]]:
        """Logits of a batch, the deepest first."""
        early: dict[str, Tensor] = {}

        def note(exit_: str, logits: Tensor) -> bool:
            early[exit_] = logits
            return False

        deepest = self.until(note, inputs)
        assert deepest is not None
        return {"logits": deepest, **early}

    def until(
        self, enough: Enough, inputs: Float[Tensor, "items ..."]
    ) -> Float[Tensor, "items classes"] | None:
        """Run until an exit's answer is enough: the deepest answer, or None where it stopped before."""
        values = self.flattened(inputs)
        for number, block in enumerate(self.hidden, 1):
            values = block(values)
            exit_ = f"exit{number}"
            if exit_ in self.exits and enough(exit_, self.exits[exit_](self.dropout(values))):
                return None
        deepest: Tensor = self.head(self.dropout(values))
        return deepest

    def stopping(self, threshold: float) -> EarlyExit:
        """The network that stops at the first exit that is sure enough; see `EarlyExit`."""
        return EarlyExit(self, threshold=threshold).train(self.training)

    def ending_at(self, exit_: str) -> MLP:
        """The part that ends at an exit, on the same weights: a plain `mlp`, which needs no layer after it.

        Raises:
            UnknownName: there is no such exit.
        """
        if exit_ not in self.exits:
            raise UnknownName("exit", exit_, list(self.exits))
        number = list(self.exits).index(exit_) + 1
        with torch.device("meta"):  # a frame whose layers are replaced: nothing is drawn
            part = MLP(num_classes=1, in_features=self.in_features, widths=[])
        part.hidden, part.dropout = self.hidden[:number], self.dropout
        part.add_module("head", self.exits[exit_])
        return part.train(self.training)


def mlp_with_exits(
    *,
    num_classes: int,
    in_features: int,
    widths: Sequence[int],
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    activation: str = "relu",
) -> MLPWithExits:
    """A multilayer perceptron with early exits; arguments, shapes and source are those of `MLPWithExits`."""
    return MLPWithExits(
        num_classes=num_classes,
        in_features=in_features,
        widths=widths,
        dropout=dropout,
        input_dropout=input_dropout,
        activation=activation,
    )
