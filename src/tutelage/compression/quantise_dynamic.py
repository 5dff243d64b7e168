"""INT8 after training, with ranges of activations found at each call."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.onnx_form import (
    OnnxForm,
    exchanged,
    exported,
    in_place_of,
    noise_of_layers,
    trimmed,
)
from tutelage.compression.quantise_static import check_numbers, silent, warn_of_saturation

__all__ = ["QuantiseDynamic"]


class QuantiseDynamic(Changer):
    """Dynamic INT8: weights in 8 bits, activations rounded by the range that they have at each call.

    Needs no ranges beforehand, and pays for finding them each time; made for linear layers.

    Args:
        per_channel: a step of its own for each channel of a weight.
        numbers: what weights become; see `QuantiseStatic`.
        keep_float: how many of the layers that lose most stay in float32.

    Raises:
        UnknownName: no such numbers.
        ValueError: a count below 0.
        ModelError: ONNX Runtime has no kernel for a layer on this processor, such as convolutions in int8.
        MissingExtra: the packages of the extra `onnx` are missing, when it is asked.

    Source: ONNX Runtime's dynamic quantisation, after Jacob et al. 2018 (see `QuantiseStatic`). Differences:
        none.

    Example:
        >>> QuantiseDynamic(keep_float=1).keep_float
        1
    """

    final: ClassVar[bool] = True

    def __init__(self, *, per_channel: bool = True, numbers: str = "uint8", keep_float: int = 0) -> None:
        if keep_float < 0:
            raise ValueError(f"keep_float came as {keep_float}; at least 0 layers are expected")
        self.per_channel, self.numbers = per_channel, check_numbers(numbers)
        self.keep_float = keep_float

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """The INT8 network, and of each layer how much rounding it alone costs, the worst first."""
        warn_of_saturation(self.numbers)
        form = exported(network, calibration, count=64, name="quantise")
        layers = noise_of_layers(form, lambda layer: self._rounded(form, only=[layer]))
        kept = {one["layer"] for one in layers[: self.keep_float]}
        content = self._rounded(form, but=[layer for layer in form.layers if layer in kept])
        made = in_place_of(network, content, form, calibration, rounded="all")
        done = {
            "how": "dynamic",
            "bytes": len(made.file),
            "parameters": form.stands.parameters,
            "flops": form.stands.flops,
            "rounded": "all",
            "layers": [one | {"float": one["layer"] in kept} for one in layers],
        }
        return Changed(made, done)

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:  # noqa: ARG002
        """A place for the file of the quantised network."""
        return exchanged(done)

    def _rounded(
        self, form: OnnxForm, *, only: list[str] | None = None, but: list[str] | None = None
    ) -> bytes:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as folder, silent():
            path = Path(folder) / "rounded.onnx"
            quantize_dynamic(
                form.copied(),
                str(path),
                per_channel=self.per_channel,
                reduce_range=self.numbers == "int7",
                weight_type=QuantType.QUInt8 if self.numbers == "uint8" else QuantType.QInt8,
                nodes_to_quantize=only or [],
                nodes_to_exclude=but or [],
            )
            import onnx

            content: bytes = trimmed(onnx.load(str(path))).SerializeToString()
        return content
