"""What a bundle says of its network as data, and the examples that may lie in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from tutelage.capture import call
from tutelage.data.frames import Encoding
from tutelage.export.checking import MOST, Record
from tutelage.export.raw_columns import fed_with
from tutelage.traced import ready, rows, tensors_of

__all__ = ["FORMAT", "Described", "Kept", "about_network", "inputs_of", "written_examples"]

FORMAT = 1
"""The format of a bundle's `bundle.json`."""

_LOGITS = 20e6  # bytes of answers that are kept to compare a device's with


@dataclass(frozen=True)
class Described:
    """What a bundle says beside the network.

    Args:
        name: of the student.
        card: what the export said -> the model card, the text of README.md; None for a name alone.
        answer: what the logits mean: a "class", the next "token" at each position, or "values" as they are.
        classes: names of the classes, in order.
        metric: what the student was judged by.
        preparation: what is done to an example before the network reads it: `{"kind": "image", "channels",
            "height", "width", "mean", "std"}` for pixels of 0 to 1, `{"kind": "rows", "features", "mean",
            "scale"}`, or `{"kind": "columns", "columns": {name: kind}}` where the file takes raw columns;
            empty where nothing is known.
        more: the content of further ONNX files of the student, such as one of 8 bits, by name; they lie
            beside the first.
    """

    name: str
    card: Callable[[Record], str] | None = None
    answer: Literal["class", "token", "values"] = "values"
    classes: Sequence[str] = ()
    metric: str = ""
    preparation: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """Test examples that lie in a bundle, for measuring quality on the device.

    Args:
        inputs: what the network is called with; raw rows where there is an encoding.
        labels: one for each; None where there are none.
    """

    inputs: Any
    labels: Tensor | None = None


def inputs_of(content: Any) -> list[dict[str, Any]]:
    """The inputs of an ONNX model: name, numpy's name of the type (or `string`), and shape."""
    from onnx import TensorProto, helper

    found = []
    for given in content.graph.input:
        kind = given.type.tensor_type.elem_type
        words = kind == TensorProto.STRING
        dtype = "string" if words else str(helper.tensor_dtype_to_np_dtype(kind))
        dims = given.type.tensor_type.shape.dim
        shape = [dim.dim_value if dim.HasField("dim_value") else "batch" for dim in dims]
        found.append({"name": given.name, "dtype": dtype, "shape": shape})
    return found


def about_network(path: Path) -> dict[str, Any]:
    """An ONNX file as a bundle lists it."""
    content = path.read_bytes()
    return {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def written_examples(
    path: Path, network: nn.Module, kept: Kept, names: Sequence[str], encoding: Encoding | None
) -> None:
    """Write examples as plain arrays: inputs by name, `labels`, and `logits`, the network's own answers.

    The answers are those of the first examples, up to 100 and as many as are 20 MB.
    """
    if encoding is None:
        tensors = [tensor.detach().cpu().numpy() for tensor in tensors_of(kept.inputs)]
        arrays = dict(zip(names, tensors, strict=True))
        encoded = kept.inputs
    else:
        fed = {name: held for name, held in fed_with(encoding, kept.inputs).items() if name in names}
        arrays = {name: held.astype(str) if held.dtype == object else held for name, held in fed.items()}
        encoded = encoding(kept.inputs)
    with ready(network) as logits:
        one = call(logits, rows(encoded, 1))
        total = len(tensors_of(encoded)[0])
        count = max(1, min(MOST, total, int(_LOGITS // max(1, one.nbytes))))
        answers = call(logits, rows(encoded, count))
    if kept.labels is not None:
        arrays["labels"] = kept.labels.detach().cpu().numpy()
    arrays["logits"] = answers.numpy()
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
