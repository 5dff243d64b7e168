"""Graph and weights, for ExecuTorch: telephones and microcontrollers."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import MissingExtra, ModelError
from tutelage.export.checking import MOST, Record, compare_answers, new_file, record
from tutelage.traced import quiet, ready, said_of, tensors_of, trace

__all__ = ["executorch"]


def executorch(
    network: nn.Module,
    example: Any,
    path: Path | str,
    *,
    tolerance: float = 1e-4,
    overwrite: bool = False,
    most: int = MOST,
) -> Record:
    """Write a network as ExecuTorch's `.pte` program, with XNNPACK for what it can do on a CPU.

    Args:
        network: any module that torch.export can follow; its modes, device and weights stay as they are.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        path: the file to write, usually `.pte`.
        tolerance: the largest difference of a logit that the check allows, as a share of the largest logit.
        overwrite: replace a file that is there.
        most: examples at a time that the program takes; memory for so many is planned beforehand.

    Returns:
        `format`, `path`, `bytes`, and how far the logits are that ExecuTorch's runtime computes: see
        `tutelage.export.checking.Agreement`.

    Raises:
        MissingExtra: ExecuTorch is not installed; its releases each go with one release of torch.
        ModelError: the network cannot be followed or lowered, or the runtime's answer differs.
        OutputError: the file is there already, or cannot be written.
    """
    path = Path(path)
    exir = _part("executorch.exir")
    partitioner = _part("executorch.backends.xnnpack.partition.xnnpack_partitioner").XnnpackPartitioner
    runtime = _part("executorch.runtime").Runtime.get()
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        program = trace(logits, example, most=most)
        try:
            with quiet(), _unwarned():
                edge = exir.to_edge_transform_and_lower(program, partitioner=[partitioner()])
                content = edge.to_executorch().buffer
        except Exception as error:
            raise ModelError(
                f"{type(network).__name__} cannot be lowered to ExecuTorch: {said_of(program, error)}. "
                "Export to another format instead"
            ) from error
        file.write_bytes(content)
        method = runtime.load_program(file).load_method("forward")

        def read_back(inputs: Any) -> Tensor:
            answer: Tensor = torch.as_tensor(method.execute(tensors_of(inputs))[0])
            return answer.clone()  # the runtime's own memory is used again

        agreement = compare_answers(
            logits,
            example,
            read_back,
            tolerance=tolerance,
            what="the ExecuTorch file",
            at_once=min(16, most),
        )
    return record("executorch", path, agreement)


def _part(name: str) -> Any:
    try:
        with _unwarned():
            return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra("executorch", extra="executorch", purpose="export to ExecuTorch") from error


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Leave out what ExecuTorch warns of in its own parts, and those that it calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
