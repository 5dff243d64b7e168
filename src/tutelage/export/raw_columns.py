"""A preprocessing of raw columns, put before a network in one ONNX graph."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tutelage.data.frames import Encoding
from tutelage.errors import MissingExtra, ModelError, first_line

__all__ = ["fed_with", "with_columns"]


def with_columns(content: bytes, encoding: Encoding) -> bytes:
    """A network's graph whose inputs are the raw columns, by their names.

    Args:
        content: the network's ONNX, with one input, the encoded rows.
        encoding: what makes them of raw rows.

    Raises:
        MissingExtra: skl2onnx is not installed.
        ModelError: a transformer that skl2onnx cannot translate.
    """
    import onnx

    network = onnx.compose.add_prefix(onnx.load_from_string(content), "network_")
    columns = _columns(encoding, network)
    columns.ir_version = network.ir_version
    io_map = [(columns.graph.output[0].name, network.graph.input[0].name)]
    try:
        whole = onnx.compose.merge_models(columns, network, io_map=io_map)
    except ValueError as error:
        raise ModelError(f"the preprocessing and the network do not fit together in ONNX: {error}") from error
    made = whole.graph.output[0].name
    for node in whole.graph.node:
        for number, name in enumerate(node.output):
            node.output[number] = "logits" if name == made else name
    whole.graph.output[0].name = "logits"
    return bytes(whole.SerializeToString())


def fed_with(encoding: Encoding, frame: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Raw rows as inputs of such a graph, each [rows, 1]: float32, NaN for gaps, and words, "" for gaps."""
    plain = encoding.columns.plain(frame, where="the example")
    return {name: plain[[name]].to_numpy() for name in plain.columns}


def _columns(encoding: Encoding, network: Any) -> Any:
    try:
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    except ImportError as error:
        raise MissingExtra("skl2onnx", extra="tabular", purpose="exporting a preprocessing") from error
    from onnx import version_converter
    from sklearn.impute import MissingIndicator

    kinds = {name: kind for name, kind in encoding.columns.kinds.items() if kind != "empty"}
    if encoding.own:
        read = list(getattr(encoding.transformer, "feature_names_in_", kinds))
        kinds = {name: kind for name, kind in kinds.items() if name in read}
    types = [
        (name, (StringTensorType if kind == "word" else FloatTensorType)([None, 1]))
        for name, kind in kinds.items()
    ]
    opset = next(one.version for one in network.opset_import if one.domain == "")
    try:
        made = skl2onnx.convert_sklearn(
            encoding.transformer,
            initial_types=types,
            target_opset={"": opset, "ai.onnx.ml": 3},
            custom_conversion_functions={MissingIndicator: _write_gaps},
            custom_shape_calculators={MissingIndicator: _shape_of_gaps},
        )
        _name_inputs(made.graph, list(kinds))
        return version_converter.convert_version(made, opset)  # skl2onnx goes no higher than it needs
    except Exception as error:
        raise ModelError(
            f"skl2onnx cannot translate the preprocessing ({type(encoding.transformer).__name__}): "
            f"{first_line(error)}. Export the network without it, with "
            "encoding(frame) as the example, and encode rows before they are given to the file"
        ) from error


def _name_inputs(graph: Any, names: list[str]) -> None:
    """Call a graph's inputs as the columns are called, also where skl2onnx put _ for other signs."""
    held = [given.name for given in graph.input]
    plain = {re.sub(r"\W", "_", name): name for name in names}
    if len(held) == len(names):
        new = dict(zip(held, names, strict=True))
    else:
        new = {name: plain.get(name, name) for name in held}
    for given in graph.input:
        given.name = new[given.name]
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = new.get(name, name)


def _shape_of_gaps(operator: Any) -> None:
    given = operator.inputs[0].type
    operator.outputs[0].type = type(given)([None, given.shape[1]])


def _write_gaps(scope: Any, operator: Any, container: Any) -> None:
    """1 where a number is missing: `MissingIndicator(features="all")`, which skl2onnx does not translate."""
    from onnx import TensorProto

    found = scope.get_unique_variable_name("gaps")
    for kind, given, made, more in (
        ("IsNaN", operator.inputs[0].full_name, found, {}),
        ("Cast", found, operator.outputs[0].full_name, {"to": TensorProto.FLOAT}),
    ):
        name = scope.get_unique_operator_name(kind)
        container.add_node(kind, given, made, name=name, op_version=13, **more)
