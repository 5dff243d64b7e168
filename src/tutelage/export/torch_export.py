"""Graph and weights, as a program of torch.export."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tutelage.capture import call
from tutelage.errors import ModelError
from tutelage.export.checking import Record, compare_answers, new_file, record
from tutelage.traced import OnnxNetwork, ready, trace

__all__ = ["torch_export"]


def torch_export(
    network: nn.Module, example: Any, path: Path | str, *, tolerance: float = 1e-4, overwrite: bool = False
) -> Record:
    """Write a network as a `.pt2` program, which runs wherever torch does, without the network's class.

    The program is called as the network is, with any number of examples, and answers logits. Neither the
    example nor paths of this machine are stored in it.

    Args:
        network: any module that torch.export can follow; its modes, device and weights stay as they are.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        path: the file to write, usually `.pt2`.
        tolerance: the largest difference of a logit that the check allows, as a share of the largest logit.
        overwrite: replace a file that is there.

    Returns:
        `format`, `path`, `bytes`, and how far the logits of what was read back are: see
        `tutelage.export.checking.Agreement`.

    Raises:
        ModelError: torch.export cannot follow the network, or what was read back differs from it.
        OutputError: the file is there already, or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     said = torch_export(nn.Linear(4, 3), torch.ones(1, 4), f"{folder}/student.pt2")
        ...     program = torch.export.load(said["path"]).module()
        >>> program(torch.ones(7, 4)).shape
        torch.Size([7, 3])
    """
    if isinstance(network, OnnxNetwork):
        raise ModelError(
            "this network is an ONNX file, and no graph of torch; export it to onnx or safetensors"
        )
    path = Path(path)
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        content = io.BytesIO()
        torch.export.save(trace(logits, example), content)
        file.write_bytes(content.getvalue())
        program = torch.export.load(io.BytesIO(file.read_bytes())).module()
        agreement = compare_answers(
            logits,
            example,
            lambda inputs: call(program, inputs),
            tolerance=tolerance,
            what="the torch.export file",
        )
    return record("torch_export", path, agreement)
