"""A student, written for use elsewhere: one format, one file, one function.

Each writes a file, reads it back, and compares its answer with the network's before the file takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from tutelage.errors import UnknownName
from tutelage.export.checking import Record
from tutelage.export.deep_compression import deep_compression
from tutelage.export.executorch import executorch
from tutelage.export.gguf import gguf
from tutelage.export.onnx import onnx
from tutelage.export.openvino import openvino
from tutelage.export.read_deep_compression import read_deep_compression
from tutelage.export.safetensors import safetensors
from tutelage.export.torch_export import torch_export

__all__ = [
    "deep_compression",
    "executorch",
    "export",
    "formats",
    "gguf",
    "onnx",
    "openvino",
    "read_deep_compression",
    "safetensors",
    "suffixes",
    "torch_export",
]

suffixes = {
    "safetensors": ".safetensors",
    "torch_export": ".pt2",
    "onnx": ".onnx",
    "openvino": ".xml",
    "executorch": ".pte",
    "gguf": ".gguf",
    "deep_compression": ".dcz",
}
"""How the files of each format are called."""

formats: dict[str, Callable[..., Record]] = {
    function.__name__: function
    for function in (safetensors, torch_export, onnx, openvino, executorch, gguf, deep_compression)
}
"""The functions of this folder, by name."""


def export(
    network: nn.Module,
    example: Any,
    path: Path | str,
    *,
    format: str,  # noqa: A002
    **options: Any,
) -> Record:
    """Write a network in a format that is known by its name.

    Args:
        network: any module; its modes, device and weights stay as they are.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        path: the file to write.
        format: "safetensors", "torch_export", "onnx", "openvino", "executorch", "gguf" or "deep_compression".
        options: `tolerance` and `overwrite`, and what the format's function takes besides.

    Returns:
        `format`, `path`, `bytes`, `max_difference` of a logit on up to 100 examples of those that came,
        `tolerance`, `examples`, and `same_first_choice`, the share of answers whose greatest logit agrees;
        and what the format's function says beside them.

    Raises:
        UnknownName: there is no such format; the nearest one is named.
        MissingExtra: the format needs a package that is not installed.
        ModelError: the file's answer is not the network's.
        OutputError: the file is there already, or cannot be written.
    """
    if format not in formats:
        raise UnknownName("format", format, formats)
    return formats[format](network, example, path, **options)
