"""Weights alone in 8 or 4 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import nn

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.fake_quantised import Grid, steps_of
from tutelage.compression.onnx_form import (
    OnnxForm,
    exchanged,
    exported,
    in_place_of,
    noise_of_layers,
    trimmed,
)

__all__ = ["QuantiseWeights"]


class QuantiseWeights(Changer):
    """Weight-only quantisation: weights in 8 or 4 bits, a step for each channel; arithmetic in float32.

    The file is smaller by about four or eight times; it is no faster. After quantisation-aware training
    (`quantise: {how: aware}`) the steps are those that were learned, and the file answers as the student did.

    Args:
        bits: 8 or 4.
        keep_float: how many of the layers that lose most stay in float32.

    Raises:
        ValueError: other bits, or a count below 0.
        MissingExtra: the packages of the extra `onnx` are missing, when it is asked.

    Source: Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference", section
        3.1, per channel and symmetric. Differences: steps learned in training are taken where there are any,
        which reach one number further below zero than above.

    Example:
        >>> QuantiseWeights(bits=4).bits
        4
    """

    final: ClassVar[bool] = True

    def __init__(self, *, bits: int = 8, keep_float: int = 0) -> None:
        if bits not in (4, 8):
            raise ValueError(f"bits came as {bits}; 8 or 4 is expected")
        if keep_float < 0:
            raise ValueError(f"keep_float came as {keep_float}; at least 0 layers are expected")
        self.bits, self.keep_float = bits, keep_float

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """The network with rounded weights, and of each layer how much that alone costs, the worst first."""
        form = exported(network, calibration, count=64, name="quantise", steps=steps_of(network))
        layers = noise_of_layers(form, lambda layer: self._rounded(form, [layer]))
        kept = {one["layer"] for one in layers[: self.keep_float]}
        content = self._rounded(form, [layer for layer in form.layers if layer not in kept])
        made = in_place_of(network, content, form, calibration, rounded="weights")
        done = {
            "how": "weights",
            "rounded": "weights",
            "bytes": len(made.file),
            "parameters": form.stands.parameters,
            "flops": form.stands.flops,
            "layers": [one | {"float": one["layer"] in kept} for one in layers],
        }
        return Changed(made, done)

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:  # noqa: ARG002
        """A place for the file of the quantised network."""
        return exchanged(done)

    def _rounded(self, form: OnnxForm, nodes: list[str]) -> bytes:
        from onnx import TensorProto, helper, numpy_helper

        model = form.copied()
        graph = model.graph
        weights = {held.name: held for held in graph.initializer}
        new, gone = [], set()
        for node in graph.node:
            name = node.input[1] if node.name in nodes else ""
            if name in weights and name not in gone:
                gone.add(name)
                whole = numpy_helper.to_array(weights[name])
                axis = _channels(node, whole.ndim)
                given = form.steps.get(node.name)
                bits = self.bits if given is None or given.bits <= self.bits else 8
                rounded, step = _round(whole, axis, bits, given)
                kind = TensorProto.INT8 if bits == 8 else TensorProto.INT4
                graph.initializer.append(
                    helper.make_tensor(f"{name}.rounded", kind, whole.shape, _packed(rounded, bits), raw=True)
                )
                graph.initializer.append(numpy_helper.from_array(step, f"{name}.step"))
                new.append(
                    helper.make_node(
                        "DequantizeLinear", [f"{name}.rounded", f"{name}.step"], [name], axis=axis
                    )
                )
        left = [held for held in graph.initializer if held.name not in gone]
        nodes_after = [*new, *graph.node]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend(left)
        graph.node.extend(nodes_after)
        content: bytes = trimmed(model).SerializeToString()
        return content


def _channels(node: Any, axes: int) -> int:
    """Which axis of a weight counts what the layer gives."""
    if node.op_type == "MatMul":
        return axes - 1
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if any(held.name == "transB" and held.i for held in node.attribute) else 1
    return 0


def _round(whole: Any, axis: int, bits: int, given: Grid | None) -> tuple[Any, Any]:
    """Whole numbers, flat, and the step of each channel."""
    most = 2 ** (bits - 1) - 1
    rows = np.moveaxis(whole, axis, 0).reshape(whole.shape[axis], -1).astype(np.float64)
    step = np.abs(rows).max(axis=1) / most if given is None else given.step * _factors(rows, given.weight)
    step = np.where(step != 0, step, 1.0).astype(np.float32)
    shape = [1] * whole.ndim
    shape[axis] = -1
    rounded = np.clip(np.round(whole / step.reshape(shape)), -most - 1, most)
    return rounded.astype(np.int8).flatten(), step


def _packed(rounded: Any, bits: int) -> bytes:
    """Whole numbers as bytes; two of four bits in one, the first one low."""
    if bits == 8:
        return bytes(rounded.tobytes())
    pairs = np.pad(rounded, (0, len(rounded) % 2)).astype(np.uint8) & 0xF
    return bytes((pairs[::2] | pairs[1::2] << 4).tobytes())


def _factors(rows: Any, trained: Any) -> Any:
    """What the weights of each channel were multiplied with since training: a norm that was folded in."""
    power = np.square(trained.astype(np.float64)).sum(axis=1)
    return np.where(power > 0, (rows * trained).sum(axis=1) / np.where(power > 0, power, 1.0), 1.0)
