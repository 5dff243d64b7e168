"""The multilayer perceptron that ends in several branches, and a gate that weighs their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.networks import MLP

__all__ = ["MLPWithBranches", "mlp_with_branches"]


class MLPWithBranches(MLP):
    """A multilayer perceptron (MLP) whose upper layers are there several times: an ensemble on one trunk.

    A gate, one linear layer and a softmax on what the trunk gives, weighs the branches for each example; the
    weighted sum of their logits is the answer of the whole. Trunk and one branch are a network of their own:
    `ending_at("branch1")` is a plain `mlp` on the same weights.

    Args:
        num_classes: how many logits each branch answers.
        in_features: numbers in one flattened example.
        trunk: units of each hidden layer below the branches, one or more.
        branch: units of each hidden layer of a branch; none make it a linear layer.
        num_branches: how many there are, two or more.
        dropout: the probability that a hidden unit is dropped in training.
        input_dropout: the probability that an input is dropped in training.
        activation: "relu", "gelu", "silu", "tanh" or "sigmoid".

    Shapes:
        [N, …] with `in_features` numbers an example -> a mapping: "logits", the gated sum, and "branch1",
        "branch2", …, each [N, num_classes].

    Raises:
        ModelError: no trunk, fewer than two branches, a size below 1, or an input of another size.
        UnknownName: an activation that is not in the list.

    Source:
        Lan, Zhu & Gong 2018, "Knowledge Distillation by On-the-Fly Native Ensemble" (ONE), section 3.1, whose
        branches are the last stage of a convolutional network. Differences: the gate has no batch norm and no
        rectifier before its softmax, so that an example is weighed whatever stands beside it in the batch.

    Example:
        >>> network = mlp_with_branches(num_classes=10, in_features=64, trunk=[32], num_branches=2)
        >>> {name: tuple(logits.shape) for name, logits in network(torch.zeros(5, 64)).items()}
        {'logits': (5, 10), 'branch1': (5, 10), 'branch2': (5, 10)}
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_features: int,
        trunk: Sequence[int],
        branch: Sequence[int] = (),
        num_branches: int = 3,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        if not trunk or num_branches < 2:
            raise ModelError(
                f"trunk came as {list(trunk)} and num_branches as {num_branches}; give the trunk one hidden "
                "layer or more, and two branches or more, or take mlp"
            )
        super().__init__(
            num_classes=num_branches,
            in_features=in_features,
            widths=trunk,
            dropout=dropout,
            input_dropout=input_dropout,
            activation=activation,
        )
        self.gate = self.head  # its numbers are the branches'
        del self.head
        parts = {
            f"branch{number}": MLP(
                num_classes=num_classes,
                in_features=trunk[-1],
                widths=branch,
                dropout=dropout,
                input_dropout=dropout,
                activation=activation,
            )
            for number in range(1, num_branches + 1)
        }
        self.branches = nn.ModuleDict(parts)

    def forward(  # type: ignore[override]
        self, inputs: Float[Tensor, "items ..."]
    ) -> dict[str, Float[Tensor, "items classes"]]:
        """Logits of a batch, those of the ensemble first."""
        values = self.flattened(inputs)
        for block in self.hidden:
            values = block(values)
        answers = {name: branch(values) for name, branch in self.branches.items()}
        shares = self.gate(values).softmax(-1)
        together = torch.einsum("ib,bic->ic", shares, torch.stack(list(answers.values())))
        return {"logits": together, **answers}

    def ending_at(self, exit_: str) -> MLP:
        """Trunk and one branch, on the same weights: a plain `mlp`.

        Raises:
            UnknownName: there is no such branch.
        """
        if exit_ not in self.branches:
            raise UnknownName("branch", exit_, list(self.branches))
        branch = cast(MLP, self.branches[exit_])
        with torch.device("meta"):  # a frame whose layers are replaced: nothing is drawn
            part = MLP(num_classes=1, in_features=self.in_features, widths=[])
        part.hidden = nn.ModuleList([*self.hidden, *branch.hidden])
        part.dropout, part.head = branch.dropout, branch.head
        return part.train(self.training)


def mlp_with_branches(
    *,
    num_classes: int,
    in_features: int,
    trunk: Sequence[int],
    branch: Sequence[int] = (),
    num_branches: int = 3,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    activation: str = "relu",
) -> MLPWithBranches:
    """A perceptron with branches and a gate; arguments, shapes and source are those of `MLPWithBranches`."""
    return MLPWithBranches(
        num_classes=num_classes,
        in_features=in_features,
        trunk=trunk,
        branch=branch,
        num_branches=num_branches,
        dropout=dropout,
        input_dropout=input_dropout,
        activation=activation,
    )
