"""Graph and weights, as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.data.frames import Encoding
from tutelage.export.checking import Record, new_file, record, worst_difference
from tutelage.export.raw_columns import fed_with, with_columns
from tutelage.traced import Logits, OnnxNetwork, packages, quiet, ready, tensors_of, to_onnx
from tutelage.traced.translate import refuse_large

__all__ = ["onnx"]

_CHECKED = 256  # raw rows that the file is checked on


def onnx(
    network: nn.Module,
    example: Any,
    path: Path | str,
    *,
    tolerance: float = 1e-4,
    overwrite: bool = False,
    encoding: Encoding | None = None,
) -> Record:
    """Write a network as one ONNX file, and check it with ONNX Runtime.

    The first axis of each input and of the output `logits` is called `batch` and takes any number. Inputs are
    called as the arguments of the network's forward. Neither the example nor paths of this machine are
    stored.

    Args:
        network: any module that torch.export can follow; its modes, device and weights stay as they are.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        path: the file to write, usually `.onnx`.
        tolerance: the largest difference of a logit that the check allows, as a share of the largest logit.
        overwrite: replace a file that is there.
        encoding: of raw rows, where the student was trained on a frame; the example is a frame then. The file
            takes its columns by name, each [rows, 1]: float32 for numbers and truth values, NaN for gaps, for
            dates days since 1970; strings for words, "" for gaps.

    Returns:
        `format`, `path`, `bytes`, and `max_difference`: of the logits that ONNX Runtime computes on the CPU,
        for a batch of one and of three, and for all raw rows that came, up to 256.

    Raises:
        MissingExtra: ONNX, ONNX Script or ONNX Runtime is not installed, or for raw rows skl2onnx.
        ModelError: the network or the encoding cannot be followed, the network holds more than 2 GB, or ONNX
            Runtime's answer differs.
        OutputError: the file is there already, or cannot be written.
    """
    path = Path(path)
    with quiet():
        runtime = packages()["onnxruntime"]
    refuse_large(network)
    raw, counts = example, [1, 3]
    if encoding is not None:
        raw = example[:_CHECKED]
        example, counts = encoding(raw), [1, 3, len(raw)]
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        content = _content(network, logits, example)
        file.write_bytes(content if encoding is None else with_columns(content, encoding))
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]

        def read_back(inputs: Any) -> Tensor:
            if encoding is None:
                fed = {name: tensor.numpy() for name, tensor in zip(names, tensors_of(inputs), strict=True)}
            else:
                columns = fed_with(encoding, raw).items()
                places = [number % len(raw) for number in range(len(inputs))]
                fed = {name: held[places] for name, held in columns if name in names}
            return torch.from_numpy(session.run(["logits"], fed)[0])

        difference = worst_difference(
            logits, example, read_back, tolerance=tolerance, what="the ONNX file", counts=counts
        )
    return record("onnx", path, difference)


def _content(network: nn.Module, logits: Logits, example: Any) -> bytes:
    """The file's bytes: those that the network is made of, or a translation."""
    return network.content if isinstance(network, OnnxNetwork) else to_onnx(logits, example)
