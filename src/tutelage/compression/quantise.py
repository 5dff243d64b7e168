"""Quantise a network: after training, or while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.quantise_aware import QuantiseAware
from tutelage.compression.quantise_dynamic import QuantiseDynamic
from tutelage.compression.quantise_static import QuantiseStatic
from tutelage.compression.quantise_weights import QuantiseWeights
from tutelage.errors import UnknownName

__all__ = ["Quantise"]

_HOWS: dict[str, type[Changer]] = {
    "dynamic": QuantiseDynamic,
    "static": QuantiseStatic,
    "weights": QuantiseWeights,
    "aware": QuantiseAware,
}


class Quantise(Changer):
    """Quantisation: weights, and numbers between layers, of few bits.

    Args:
        how: `static`, INT8 with ranges of activations from calibration examples, see `QuantiseStatic`;
            `dynamic`, INT8 with ranges found at each call, see `QuantiseDynamic`; `weights`, the weights
            alone in 8 or 4 bits, see `QuantiseWeights`; `aware`, rounding that the training stage after it
            learns to live with, see `QuantiseAware`. The first three put an ONNX file in the network's place,
            and no training may follow.
        settings: those of the class.

    Raises:
        UnknownName: there is no such way, or it has no such setting.

    Source: see the classes.

    Example:
        >>> Quantise(how="aware", bits=4).settles
        True
    """

    def __init__(self, *, how: str, **settings: Any) -> None:
        if how not in _HOWS:
            raise UnknownName("way to quantise", how, _HOWS)
        kind = _HOWS[how]
        legal = [name for name in kind.__init__.__annotations__ if name != "return"]
        for name in settings:
            if name not in legal:
                raise UnknownName(f"setting of quantise, how: {how},", name, legal)
        self.way = kind(**settings)
        self.settles, self.final = kind.settles, kind.final  # type: ignore[misc]

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """Quantise; what was done holds `how` it was."""
        return self.way.change(network, calibration)

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        """Bring a network that was built anew into the form that the weights have."""
        kind = _HOWS[done["how"]]
        return kind.__new__(kind).replay(network, done)
