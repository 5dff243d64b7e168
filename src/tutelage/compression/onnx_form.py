"""A network in the form of ONNX, with what rounding needs: layers, examples, answers to hold it to."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from tutelage.capture import call
from tutelage.compression.changer import Calibration, shown
from tutelage.compression.examples import calibration_inputs
from tutelage.compression.fake_quantised import Grid
from tutelage.compression.settle import is_settled, settle
from tutelage.errors import ModelError, UnknownName
from tutelage.traced import OnnxNetwork, Stands, packages, ready, tensors_of, to_onnx
from tutelage.types import map_tensors

__all__ = ["OnnxForm", "compact", "exchanged", "exported", "in_place_of", "noise_of_layers", "trimmed"]

_OPSET = 21  # the first whose numbers of four bits are whole
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOST = 200.0  # decibels: no noise that float32 could show
_JUDGED = 64  # examples on which a layer's noise is found


@dataclass(frozen=True)
class OnnxForm:
    """A network as an ONNX model.

    Args:
        model: a `ModelProto`.
        layers: the names of the nodes with weights of their own, in order: the paths of their layers.
        inputs: calibration examples, by the names of the inputs.
        logits: what the network answers to the first of them.
        stands: what the network was.
        steps: path -> the grid of a weight, where training has found one.
    """

    model: Any
    layers: Sequence[str]
    inputs: Sequence[Mapping[str, Any]]
    logits: Any
    stands: Stands
    steps: Mapping[str, Grid] = field(default_factory=dict)

    def run(self, content: bytes) -> Any:
        """What a file answers to the first examples."""
        first = {name: torch.from_numpy(held[:_JUDGED]) for name, held in self.inputs[0].items()}
        return OnnxNetwork(content, self.stands)(**first).numpy()

    def copied(self) -> Any:
        """The model, to be changed."""
        return copy.deepcopy(self.model)

    @property
    def examples(self) -> int:
        """How many calibration examples there are."""
        return sum(len(next(iter(held.values()))) for held in self.inputs)


def exported(
    network: nn.Module,
    calibration: Calibration | None,
    *,
    count: int,
    name: str,
    steps: Mapping[str, Grid] | None = None,
) -> OnnxForm:
    """A network in the form of ONNX; it stays as it is.

    Args:
        network: any module that torch.export can follow.
        calibration: examples.
        count: how many of them.
        name: of the change, for messages.
        steps: as for `OnnxForm`.

    Raises:
        ModelError: the network is an ONNX file already, cannot be followed, or the examples do not do.
        MissingExtra: the packages of the extra `onnx` are not installed.
    """
    if isinstance(network, OnnxNetwork) and (network.rounded or name == "export"):
        raise ModelError(
            f"{name} was given a network that is an ONNX file already, by a change before; leave out one of "
            "the two changes"
        )
    onnx = packages(name)["onnx"]
    inputs = calibration_inputs(network, shown(calibration, name=name), count=count, name=name)
    if not is_settled(network):
        network = settle(copy.deepcopy(network))
    with ready(network) as logits:
        is_file = isinstance(network, OnnxNetwork)
        content = network.content if is_file else to_onnx(logits, inputs[0], opset=_OPSET)
        answer = call(logits, _first(inputs[0])).numpy()
    model = onnx.load_from_string(content)
    layers, names = _named_layers(model), [given.name for given in model.graph.input]
    held = [
        {key: tensor.numpy() for key, tensor in zip(names, tensors_of(each), strict=True)} for each in inputs
    ]
    trimmed(model)
    if isinstance(network, OnnxNetwork):
        stands = network.stands
    else:
        stands = Stands(sum(held.numel() for held in network.parameters()), _flops(onnx, model))
    return OnnxForm(model, layers, held, answer, stands, steps or {})


def in_place_of(
    network: nn.Module, content: bytes, form: OnnxForm, calibration: Calibration | None, *, rounded: str
) -> OnnxNetwork:
    """The network that is a file, once it was asked as the task asks.

    Raises:
        ModelError: the file does not run here, answers no finite numbers, or the task reads more than logits.
    """
    made = OnnxNetwork(compact(content) if rounded else content, form.stands, rounded=rounded).eval()
    batch = next(iter(shown(calibration, name="quantise").batches()))
    try:
        answer = shown(calibration, name="quantise").ask(made, batch)
    except UnknownName as error:
        raise ModelError(
            f"the task reads layers of the {type(network).__name__}, and an ONNX file answers logits alone; "
            "compress it by another change"
        ) from error
    if answer.logits is not None and not answer.logits.isfinite().all():
        raise ModelError(
            f"{type(network).__name__} in the form of ONNX answers NaN or infinite numbers on calibration "
            "examples; keep more layers in float (keep_float), or calibrate otherwise"
        )
    return made


def noise_of_layers(form: OnnxForm, rounded: Callable[[str], bytes]) -> list[dict[str, Any]]:
    """What each layer loses by itself: the logits' ratio of signal to noise where it alone is rounded.

    Args:
        form: the network in float32.
        rounded: a layer -> the file in which that layer alone is rounded.

    Returns:
        {"layer", "sqnr_db"} of each, 10 · log10(Σ logits² / Σ difference²), the worst first; 200 decibels
        where there is no difference.
    """
    found = []
    for layer in form.layers:
        came = form.run(rounded(layer))
        found.append({"layer": layer, "sqnr_db": round(_decibels(form.logits, came), 2)})
    return sorted(found, key=lambda one: one["sqnr_db"])


def exchanged(done: Mapping[str, Any]) -> OnnxNetwork:
    """The network that a change has put in place of another, to load its file into."""
    stands = Stands(done["parameters"], done["flops"])
    return OnnxNetwork(done["bytes"], stands, rounded=done["rounded"])


def trimmed(model: Any) -> Any:
    """Leave out of a model, in place, what only its makers read: names of scopes, notes, inferred shapes."""
    graph = model.graph
    for held in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        if hasattr(held, "metadata_props"):
            del held.metadata_props[:]
        held.doc_string = ""
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    del model.functions[:]
    return model


def compact(content: bytes) -> bytes:
    """A file with short names for all but its inputs and outputs: of a small network they are much of it."""
    model = packages("quantise")["onnx"].load_from_string(content)
    graph = model.graph
    short = {held.name: held.name for held in (*graph.input, *graph.output)} | {"": ""}

    def name(came: str) -> Any:
        return short.setdefault(came, f"{len(short):x}")

    for held in graph.initializer:
        held.name = name(held.name)
    for node in graph.node:
        node.name = ""
        for names in (node.input, node.output):
            renamed = [name(came) for came in names]
            del names[:]
            names.extend(renamed)
    made: bytes = model.SerializeToString()
    return made


def _decibels(signal: Any, came: Any) -> float:
    signal, came = signal.astype(np.float64), came.astype(np.float64)
    noise = float(np.square(signal - came).sum())
    if not math.isfinite(noise):
        return -_MOST
    power = float(np.square(signal).sum())
    return min(_MOST, 10 * math.log10(max(power, 1e-30) / noise)) if noise > 0 else _MOST


def _first(inputs: Any) -> Any:
    return map_tensors(inputs, lambda tensor: tensor[:_JUDGED])


def _named_layers(model: Any) -> list[str]:
    """The nodes with weights of their own, called by the paths of the modules that they come from."""
    weights = {held.name for held in model.graph.initializer}
    found: list[str] = []
    for node in model.graph.node:
        if node.op_type in _LAYERS and node.input[1] in weights:
            name = node.input[1]
            path = name.removesuffix(".weight") if name.endswith(".weight") else _scope(node)
            path = path.removeprefix("network.").removeprefix("network") or node.name
            node.name = path if path not in found else f"{path} ({node.name})"
            found.append(node.name)
    return found


def _scope(node: Any) -> str:
    for held in node.metadata_props:
        if held.key == "pkg.torch.onnx.name_scopes":
            scopes = json.loads(held.value.replace("'", '"'))
            return str(scopes[-2]) if len(scopes) > 1 else ""
    return ""


def _flops(onnx: Any, model: Any) -> int | None:
    """Operations of one example, matrix products and convolutions alone; None where shapes are not known."""
    single = copy.deepcopy(model)
    for given in (*single.graph.input, *single.graph.output):
        given.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(single).graph
    shapes = {held.name: list(held.dims) for held in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        shapes[value.name] = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
    total = 0
    for node in graph.node:
        if node.op_type in _LAYERS:
            weight, out = shapes.get(node.input[1], [0]), shapes.get(node.output[0], [0])
            came = shapes.get(node.input[0], [0])
            each = _per_output(node, came, weight)
            size = math.prod(came) if node.op_type == "ConvTranspose" else math.prod(out)
            if not size * each:
                return None
            total += 2 * size * each
    return total or None


def _per_output(node: Any, came: Sequence[int], weight: Sequence[int]) -> int:
    """Multiply-adds for each number that a node gives."""
    if node.op_type in ("Conv", "ConvTranspose"):
        return math.prod(weight[1:])
    if node.op_type == "MatMul":
        return came[-1]
    transposed = any(held.name == "transB" and held.i for held in node.attribute)
    return weight[1] if transposed else weight[0]
