"""The multilayer perceptron that answers several questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks import MLP

__all__ = ["MLPWithHeads", "mlp_with_heads"]


class MLPWithHeads(nn.Module):
    """A multilayer perceptron (MLP) with a head for each question, on one trunk or on a trunk each.

    Args:
        heads: the name of each head and its number of classes.
        in_features: numbers in one flattened example.
        widths: units of each hidden layer of a trunk; at least one.
        shared: whether all heads stand on one trunk; otherwise each has its own, and nothing is shared: as
            many networks, side by side.
        dropout, input_dropout, activation: as of an `mlp`.

    Shapes:
        [N, …] with `in_features` numbers an example -> a mapping: each head's logits by its name, [N, its
        classes], and `logits`, all of them joined in the order of the heads.

    Raises:
        ModelError: no heads, no hidden layer, a head called `logits`, a size below 1, or an input of another
            size.
        UnknownName: an activation that is not in the list.

    Source:
        Caruana 1997, "Multitask Learning": one hidden layer that several outputs share.

    Example:
        >>> network = mlp_with_heads(heads={"digit": 10, "stroke": 4}, in_features=64, widths=[16])
        >>> {name: tuple(logits.shape) for name, logits in network(torch.zeros(5, 64)).items()}
        {'logits': (5, 14), 'digit': (5, 10), 'stroke': (5, 4)}
    """

    def __init__(
        self,
        *,
        heads: Mapping[str, int],
        in_features: int,
        widths: Sequence[int],
        shared: bool = True,
        **options: object,
    ) -> None:
        super().__init__()
        if not heads or not widths or "logits" in heads:
            raise ModelError(
                f"heads came as {dict(heads)} and widths as {list(widths)}; expected at least one of each, "
                "and no head called logits"
            )
        self.shared = shared
        trunks = [tuple(heads)] if shared else [(name,) for name in heads]
        self.trunks = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        for names in trunks:
            made = MLP(num_classes=1, in_features=in_features, widths=widths, **options)  # type: ignore[arg-type]
            made.head = nn.Identity()  # type: ignore[assignment]
            self.trunks[names[0]] = made
            for name in names:
                self.heads[name] = nn.Linear(widths[-1], heads[name])

    def forward(self, inputs: Float[Tensor, "items ..."]) -> dict[str, Float[Tensor, "items classes"]]:
        """Logits of a batch, head by head."""
        values = {name: trunk(inputs) for name, trunk in self.trunks.items()}
        first = next(iter(values.values()))
        each = {name: head(values.get(name, first)) for name, head in self.heads.items()}
        return {"logits": torch.cat(list(each.values()), -1), **each}


def mlp_with_heads(
    *,
    heads: Mapping[str, int],
    in_features: int,
    widths: Sequence[int],
    shared: bool = True,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    activation: str = "relu",
) -> MLPWithHeads:
    """A perceptron with several heads; arguments, shapes and source are those of `MLPWithHeads`."""
    return MLPWithHeads(
        heads=heads,
        in_features=in_features,
        widths=widths,
        shared=shared,
        dropout=dropout,
        input_dropout=input_dropout,
        activation=activation,
    )
