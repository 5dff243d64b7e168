"""Any network, with answers after some of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.capture import check_layers, logits_of
from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.networks.checks import require_positive
from tutelage.tasks.networks.cut_short import Seen, until, without_rest
from tutelage.tasks.networks.early_exit import EarlyExit, Enough
from tutelage.tasks.networks.exit_head import ExitHead

__all__ = ["PartWithExit", "WithExits", "with_exits"]


class WithExits(nn.Module):
    """A network of anybody's that also answers after some of its layers.

    Each exit is a small head on what a named layer gives. Which shapes these have, and in which order they
    come, is found by a dry run. Hooks live only inside a call, so that the network stays what it was.

    Args:
        network: any module that answers with logits; it goes by `network` in here: its layer3 is
            `network.layer3`.
        at: the layers, by path; each runs once in a forward pass, and gives vectors, tokens or maps. The
            exits are called exit1, exit2 … in the order in which they come.
        example: inputs of one example, for the dry run.
        num_classes: how many logits each exit answers.
        width: channels of a bottleneck in each head, `exits.exit1.bottleneck`: a 3×3 convolution of stride 2
            with batch norm and ReLU for maps, else a linear layer and ReLU. 0 for none: one linear layer on
            the mean over positions.

    Shapes:
        as the network takes it -> a mapping: "logits", its own answer, and "exit1", "exit2", …, each
        [N, num_classes].

    Raises:
        ModelError: no layers, or one twice; a layer that does not run once, or gives no such feature; a
            network that answers with other classes.
        UnknownName: the network has no such layer.

    Source:
        Zhang et al. 2019, "Be Your Own Teacher", figure 2 and section 3. Differences: one convolution in a
        bottleneck, where theirs bring each feature to the deepest one's shape by as many as it takes; a
        match's projector does that here.

    Example:
        >>> body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> network = WithExits(body, at=["1"], example=torch.zeros(1, 4), num_classes=3)
        >>> {name: tuple(logits.shape) for name, logits in network(torch.zeros(5, 4)).items()}
        {'logits': (5, 3), 'exit1': (5, 3)}
        >>> sum(p.numel() for p in network.ending_at("exit1").parameters())
        67
    """

    def __init__(
        self, network: nn.Module, *, at: Sequence[str], example: Any, num_classes: int, width: int = 0
    ) -> None:
        super().__init__()
        require_positive(num_classes=num_classes)
        _check_places(network, at)
        seen = Seen.by(network, at, example)
        if seen.classes != num_classes:
            raise ModelError(
                f"{type(network).__name__} answers with {seen.classes} classes, and its exits would with "
                f"{num_classes}; give both the same"
            )
        self.network = network
        self.at = [path for path in seen.order if path in at]
        heads = {
            f"exit{number}": ExitHead(seen.features[path], num_classes=num_classes, width=width)
            for number, path in enumerate(self.at, 1)
        }
        self.exits = nn.ModuleDict(heads)
        self._ran = {path: seen.order[: seen.order.index(path) + 1] for path in self.at}

    def forward(self, *inputs: Any, **named: Any) -> dict[str, Float[Tensor, "items classes"]]:
        """Logits of a batch, the deepest first."""
        early: dict[str, Tensor] = {}

        def note(exit_: str, logits: Tensor) -> bool:
            early[exit_] = logits
            return False

        deepest = self.until(note, *inputs, **named)
        assert deepest is not None
        return {"logits": deepest, **early}

    def until(self, enough: Enough, *inputs: Any, **named: Any) -> Float[Tensor, "items classes"] | None:
        """Run until an exit's answer is enough.

        Args:
            enough: the name of an exit and its logits -> whether to stop there.
            inputs, named: as the network takes them.

        Returns:
            The deepest answer; None where it stopped before.
        """
        answer = until(
            self.network,
            {path: (exit_, self.exits[exit_]) for path, exit_ in zip(self.at, self.exits, strict=True)},
            enough,
            named or inputs,
        )
        return None if answer is None else logits_of(answer)

    def ending_at(self, exit_: str) -> PartWithExit:
        """The part that ends at an exit, on the same weights, without the layers that come after it.

        Raises:
            UnknownName: there is no such exit.
        """
        if exit_ not in self.exits:
            raise UnknownName("exit", exit_, list(self.exits))
        path = self.at[list(self.exits).index(exit_)]
        part = PartWithExit(without_rest(self.network, "", self._ran[path]), path, self.exits[exit_])
        return part.train(self.training)

    def stopping(self, threshold: float) -> EarlyExit:
        """The network that stops at the first exit that is sure enough; see `EarlyExit`."""
        return EarlyExit(self, threshold=threshold).train(self.training)


class PartWithExit(nn.Module):
    """The part of a network up to a layer, and a head on it.

    While it is exported its network runs to its end, with nothing in place of what comes after the layer, and
    the graph keeps what the head needs. A network whose forward cannot run so is refused there.

    Args:
        network: what is called; it is left at the layer.
        path: of the layer.
        head: reads what the layer gives.
    """

    def __init__(self, network: nn.Module, path: str, head: nn.Module) -> None:
        super().__init__()
        self.network, self.path, self.head = network, path, head

    def forward(self, *inputs: Any, **named: Any) -> Float[Tensor, "items classes"]:
        """Logits of a batch."""
        found: list[Tensor] = []

        def take(_: str, logits: Tensor) -> bool:
            found.append(logits)
            return not torch.compiler.is_exporting()

        until(self.network, {self.path: (self.path, self.head)}, take, named or inputs)
        return found[0]


def _check_places(network: nn.Module, at: Sequence[str]) -> None:
    if not at or len(set(at)) < len(at) or any(not path or ":" in path for path in at):
        raise ModelError(
            f"exits came at {list(at)}; name layers of the network by their paths, each once, such as layer3"
        )
    check_layers(network, list(at), who="network with exits")


def with_exits(
    *, network: nn.Module, at: Sequence[str], example: Any, num_classes: int, width: int = 0
) -> WithExits:
    """A network with exits; arguments, shapes and source are those of `WithExits`."""
    return WithExits(network, at=at, example=example, num_classes=num_classes, width=width)
