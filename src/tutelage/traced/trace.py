"""A network as a graph of `torch.export`, for any number of examples."""

from __future__ import annotations

from typing import Any

import torch

from tutelage.errors import ModelError
from tutelage.traced.logits import Logits, rows, tensors_of

__all__ = ["first_line", "trace"]


def trace(logits: Logits, example: Any, *, most: int | None = None) -> torch.export.ExportedProgram:
    """The network as a graph for any number of examples, without the example and this machine's paths.

    Args:
        logits: the network.
        example: what it is called with.
        most: examples at a time, for runtimes that must know; None for any number.

    Raises:
        ModelError: torch.export cannot follow the network.
    """
    # One alone would make the graph one for a single example. Where it is lowered for so many at most, fewer
    # than 16 would make it one for few: convolutions of so small batches take another way in torch.
    inputs = rows(example, 3 if most is None else max(2, min(most, 32)))
    args, kwargs = _arguments(inputs)
    collection: Any = torch.export.ShapesCollection  # its methods carry no types
    shapes, batch = collection(), torch.export.Dim("batch", max=most)
    for tensor in tensors_of(inputs):
        shapes[tensor] = {0: batch}
    try:
        specification = shapes.dynamic_shapes(logits, args, kwargs)
        program = torch.export.export(logits, args, kwargs, dynamic_shapes=specification)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"torch.export cannot follow {type(logits.network).__name__}: {first_line(error)}. Write its "
            "forward without branches on values and on the number of examples, or export to safetensors"
        ) from error
    program.example_inputs = None
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def first_line(error: Exception) -> str:
    """What an error says first, without a full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inputs as `capture.call` passes them."""
    if isinstance(inputs, dict):
        return (), inputs
    return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,), {}
