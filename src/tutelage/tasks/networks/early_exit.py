"""A network that stops where it is sure enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.errors import ModelError

__all__ = ["EarlyExit", "Enough", "StopsEarly"]

Enough = Callable[[str, Tensor], bool]
"""The name of an exit and its logits -> whether to stop there."""


class StopsEarly(Protocol):
    """A network that can be stopped at its exits."""

    def until(self, enough: Enough, *inputs: Any, **named: Any) -> Tensor | None:
        """Run until an exit's answer is enough: the deepest answer, or None where it stopped before."""
        ...


class EarlyExit(nn.Module):
    """Early exit: an example is answered by the first exit whose top probability is above a threshold.

    Easy examples need few layers. One alone stops there, and later layers are not computed; a batch goes on
    until all of its examples are answered, each by its own exit, so that an answer does not depend on the
    batch it came in. What a call costs thus depends on the examples (`varies`): runs measure it on many of
    them.

    It cannot be exported as a graph, in which the layers that run are fixed beforehand: export the parts that
    end at its exits (`ending_at`), and compare their top probability with the threshold where they are used.

    Args:
        network: with exits, such as `WithExits`; see `StopsEarly`.
        threshold: of the top probability, from 0 to below 1; choose it on the validation split.

    Shapes:
        as the network takes it -> [N, classes]: logits of the exit that answers.

    Raises:
        ModelError: a threshold out of range; a network that cannot be stopped; it is exported.

    Source:
        Zhang et al. 2019, "Be Your Own Teacher", section 4.4, and Teerapittayanon et al. 2016, "BranchyNet",
        algorithm 1, which asks for a low entropy; here for a high probability.

    Example:
        >>> from tutelage.tasks.networks import MLP, WithExits
        >>> body = MLP(num_classes=3, in_features=4, widths=[8, 8])
        >>> whole = WithExits(body, at=["hidden.0"], example=torch.zeros(1, 4), num_classes=3)
        >>> rows = torch.randn(5, 4)
        >>> logits, exits = EarlyExit(whole, threshold=0.0).answered(rows)
        >>> exits.tolist(), bool(torch.equal(logits, whole(rows)["exit1"]))
        ([0, 0, 0, 0, 0], True)
    """

    varies: ClassVar[bool] = True
    """What a call costs depends on the examples."""

    def __init__(self, network: nn.Module, *, threshold: float) -> None:
        super().__init__()
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold < 1:
            raise ModelError(f"threshold came as {threshold!r}; expected a probability from 0 to below 1")
        if not hasattr(network, "until"):
            raise ModelError(
                f"{type(network).__name__} cannot be stopped at an exit: give it a method "
                "`until(enough, *inputs)`, or attach exits to it with WithExits"
            )
        self.network, self.threshold = network, float(threshold)

    def forward(self, *inputs: Any, **named: Any) -> Float[Tensor, "items classes"]:
        """Logits of a batch."""
        return self.answered(*inputs, **named)[0]

    def answered(
        self, *inputs: Any, **named: Any
    ) -> tuple[Float[Tensor, "items classes"], Int[Tensor, " items"]]:
        """Logits of a batch, and by which exit each example was answered: from 0, the deepest last."""
        if torch.compiler.is_exporting():
            raise ModelError(
                "an early-exit network cannot be exported: which layers it runs depends on the example. "
                "Export the parts that end at its exits, and compare their top probability with the threshold"
            )
        told: list[Tensor] = []
        sure: list[Tensor] = []

        def enough(_: str, logits: Tensor) -> bool:
            told.append(logits)
            sure.append(logits.softmax(-1).amax(-1) > self.threshold)
            return bool(torch.stack(sure).any(0).all())

        deepest = self.network.until(enough, *inputs, **named)  # type: ignore[operator]
        if deepest is not None:
            told.append(deepest)
            sure.append(torch.ones(len(deepest), dtype=torch.bool, device=deepest.device))
        first = torch.stack(sure).int().argmax(0)  # the first of those that are true
        rows = torch.arange(first.shape[0], device=first.device)
        return torch.stack(told)[first, rows], first

    def extra_repr(self) -> str:
        """Say the threshold."""
        return f"threshold={self.threshold:g}"
