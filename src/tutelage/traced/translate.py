"""A network's logits as the bytes of an ONNX file."""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch._decomp import decomposition_table

from tutelage.errors import MissingExtra, ModelError
from tutelage.traced.logits import Logits
from tutelage.traced.trace import trace

__all__ = ["packages", "quiet", "refuse_large", "to_onnx"]

_LARGEST = 2**31 - 2**20  # what fits in one file of ONNX, less some room for the graph


def to_onnx(logits: Logits, example: Any, *, opset: int | None = None) -> bytes:
    """Translate a network's logits.

    Args:
        logits: of the network, see `ready`.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        opset: the version of ONNX's operators; None for the exporter's own choice.

    Returns:
        The file's bytes: inputs called as the arguments of the network's forward, the output `logits`, whose
        first axes are called `batch` and take any number.

    Raises:
        MissingExtra: ONNX, ONNX Script or ONNX Runtime is not installed.
        ModelError: the network cannot be followed, or has an operator that ONNX lacks, which is named.
    """
    with quiet():
        packages()
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
        why = _lacking(error, program) or str(error).strip().splitlines()[0]
        raise ModelError(
            f"{type(logits.network).__name__} has no translation to ONNX: {why}. Export to torch_export or "
            "safetensors instead"
        ) from error
    assert translated is not None
    content: bytes = translated.model_proto.SerializeToString()
    return content


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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out what the exporter says about its own parts, and about packages that it could also support."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


def _lacking(error: BaseException, program: torch.export.ExportedProgram) -> str | None:
    """The operator that ONNX lacks, and the module that calls it; None for another error."""
    said = f"{error}\n{error.__cause__}"
    operator = re.search(r"No ONNX function found for <OpOverload\(op='([\w.:]+)'", said)
    if operator is None:
        return None
    name = operator[1].replace("::", ".")
    node = re.search(r"translating node %(\w+)", said)
    where = _module_of(program, name, node[1] if node else "")
    return f"ONNX lacks the operator {name}" + (f", which {where} calls" if where else "")


def _module_of(program: torch.export.ExportedProgram, operator: str, node: str) -> str | None:
    """The innermost module whose forward calls an operator, by path and class."""
    with quiet():  # the exporter takes operators apart, and names what it found in them
        graphs = [program.graph, program.run_decompositions(dict(decomposition_table)).graph]
    for graph in graphs:
        for each in graph.nodes:
            if each.op == "call_function" and (each.name == node or str(each.target).startswith(operator)):
                stack = list((each.meta.get("nn_module_stack") or {}).values())
                if stack:
                    path, kind = stack[-1]
                    kind = kind if isinstance(kind, str) else kind.__name__
                    return f"{path.removeprefix('network.') or 'network'} ({kind.rsplit('.', 1)[-1]})"
    return None
