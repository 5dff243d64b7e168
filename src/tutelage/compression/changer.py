"""What a change of a network is, and what it may look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.types import Batch, Outputs

__all__ = ["Calibration", "Changed", "Changer", "shown"]


@dataclass(frozen=True)
class Calibration:
    """Training examples, and how a network is asked about them: for changes that look at data.

    Args:
        batches: -> a few batches of the training split in a fixed order, on the network's device.
        ask: what a network says about a batch, of which it reads what is its own.
        loss: what a student that nobody teaches minimises on a batch, a scalar; None where there are no
            labels.
        ratio: (network before, network after) -> how many times as long the second one takes for one example,
            measured; None where nobody measures.
    """

    batches: Callable[[], Iterable[Batch]]
    ask: Callable[[nn.Module, Batch], Outputs]
    loss: Callable[[nn.Module, Batch], Tensor] | None = None
    ratio: Callable[[nn.Module, nn.Module], float] | None = None


@dataclass(frozen=True)
class Changed:
    """What a change came to.

    Args:
        network: the one that came, changed in place; or another in its place.
        done: what was done, as plain JSON: enough to do it again to a network of the old shape.
    """

    network: nn.Module
    done: Mapping[str, Any]


class Changer(ABC):
    """A deterministic change of a network between trainings: prune, factorise, share, quantise.

    Attributes:
        settles: whether it leaves the network's structure as it was once its parametrisations are made plain
            weights (`settle`): a mask, a codebook. A network that is handed over is settled, and rebuilt
            without it.
        final: whether no training may follow: what it puts in the network's place learns nothing.
    """

    settles: ClassVar[bool] = False
    final: ClassVar[bool] = False

    @abstractmethod
    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """Change a network.

        Args:
            network: any module; in the mode that it comes in.
            calibration: training examples; None where there are none.

        Raises:
            ModelError: the network cannot be changed so, or examples are needed and there are none.
        """

    @abstractmethod
    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        """Do to a network of the old shape what was done, whatever its weights; what came of it."""


def shown(calibration: Calibration | None, *, name: str) -> Calibration:
    """The calibration, where a change cannot do without.

    Raises:
        ModelError: there is none.
    """
    if calibration is None:
        raise ModelError(
            f"{name} looks at examples, and was given none; call change(network, Calibration(batches, ask))"
        )
    return calibration
