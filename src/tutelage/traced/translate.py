"""A network's logits as the bytes of an ONNX file."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tutelage.errors import MissingExtra, ModelError
from tutelage.traced.logits import Logits
from tutelage.traced.operators import said_of
from tutelage.traced.quiet import quiet
from tutelage.traced.trace import trace

__all__ = ["OPSET", "opset_of", "packages", "refuse_large", "to_onnx"]

OPSET = 20
"""The version of ONNX's operators that is written."""

_OLDEST = 17  # that torch's exporter can be brought to
_LARGEST = 2**31 - 2**20  # what fits in one file of ONNX, less some room for the graph


def to_onnx(logits: Logits, example: Any, *, opset: int = OPSET) -> bytes:
    """Translate a network's logits.

    Args:
        logits: of the network, see `ready`.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        opset: the version of ONNX's operators, from 17; older runtimes read older ones.

    Returns:
        The file's bytes: inputs called as the arguments of the network's forward, the output `logits`, whose
        first axes are called `batch` and take any number.

    Raises:
        MissingExtra: ONNX, ONNX Script or ONNX Runtime is not installed.
        ModelError: the network cannot be followed, or has an operator that ONNX lacks, at all or in
            this opset; it is named with its layer.
    """
    with quiet():
        newest = packages()["onnx"].defs.onnx_opset_version()
    if not _OLDEST <= opset <= newest:
        raise ModelError(f"opset came as {opset}; the installed onnx knows {_OLDEST} to {newest}")
    refuse_large(logits.network)
    program = trace(logits, example)
    inputs = program.graph_signature.user_inputs
    axes = [{0: "batch"} if number == 0 else None for number in range(len(inputs))]  # the others share it
    try:
        with quiet():
            translated = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                output_names=["logits"],
                dynamic_shapes=axes,
                opset_version=opset,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(
            f"{type(logits.network).__name__} has no translation to ONNX: {said_of(program, error)}. Put "
            "another operator in its place, or export to torch_export or safetensors instead"
        ) from error
    assert translated is not None
    content: bytes = translated.model_proto.SerializeToString()
    written = opset_of(content)
    if written != opset:
        raise ModelError(
            f"{type(logits.network).__name__} cannot be written in opset {opset}, which lacks an operator of "
            f"it; {written} is the nearest that can"
        )
    return content


def opset_of(content: bytes) -> int:
    """The version of ONNX's operators in which a file is written."""
    model = packages()["onnx"].load_from_string(content)
    return next(int(held.version) for held in model.opset_import if held.domain in ("", "ai.onnx"))


def packages(
    purpose: str = "export to ONNX", names: Sequence[str] = ("onnx", "onnxscript", "onnxruntime")
) -> dict[str, Any]:
    """The packages of the extra, by name.

    Args:
        purpose: what they are needed for, for the message.
        names: which ones.

    Raises:
        MissingExtra: one of them is not installed.
    """
    found = {}
    for name in names:
        try:
            found[name] = importlib.import_module(name)
        except ImportError as error:
            raise MissingExtra(name, extra="onnx", purpose=purpose) from error
    return found


def refuse_large(network: nn.Module) -> None:
    """Refuse a network that does not fit in one file of ONNX.

    Raises:
        ModelError: it does not.
    """
    size = sum(t.nbytes for t in (*network.parameters(), *network.buffers()))
    if size > _LARGEST:
        raise ModelError(
            f"{type(network).__name__} holds {size / 1e9:.1f} GB, and one ONNX file holds at most 2. Export "
            "to torch_export or safetensors instead"
        )
