"""Graph and weights, as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.data.frames import Encoding
from tutelage.export.checking import MOST, Record, compare_answers, new_file, record
from tutelage.export.raw_columns import fed_with, with_columns
from tutelage.traced import OPSET, opset_of, packages, quiet, ready, refuse_large, tensors_of, to_onnx

__all__ = ["onnx", "onnx_content"]


def onnx(
    network: nn.Module,
    example: Any,
    path: Path | str,
    *,
    tolerance: float = 1e-4,
    overwrite: bool = False,
    opset: int = OPSET,
    encoding: Encoding | None = None,
) -> Record:
    """Write a network as one ONNX file, and check it with ONNX Runtime.

    The first axis of each input and of the output `logits` is called `batch` and takes any number. Inputs are
    called as the arguments of the network's forward. Neither the example nor paths of this machine are
    stored.

    Args:
        network: any module that torch.export can follow; its modes, device and weights stay as they are. One
            that is an ONNX file already is written as it is.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        path: the file to write, usually `.onnx`.
        tolerance: the largest difference of a logit that the check allows, as a share of the largest logit.
        overwrite: replace a file that is there.
        opset: the version of ONNX's operators, from 17; older runtimes read older ones.
        encoding: of raw rows, where the student was trained on a frame; the example is a frame then. The file
            takes its columns by name, each [rows, 1]: float32 for numbers and truth values, NaN for gaps, for
            dates days since 1970; strings for words, "" for gaps.

    Returns:
        `format`, `path`, `bytes`, `opset`, and how far the logits are that ONNX Runtime computes on the CPU:
        see `tutelage.export.checking.Agreement`.

    Raises:
        MissingExtra: ONNX, ONNX Script or ONNX Runtime is not installed, or for raw rows skl2onnx.
        ModelError: the network or the encoding cannot be followed, an operator has no translation (its layer
            is named), the network holds more than 2 GB, or ONNX Runtime's answer differs.
        OutputError: the file is there already, or cannot be written.
    """
    path = Path(path)
    with quiet():
        runtime = packages()["onnxruntime"]
    refuse_large(network)
    raw, at_once = example, {}
    if encoding is not None:
        raw = example[:MOST]
        example, at_once = encoding(raw), {"at_once": len(raw)}
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        own = onnx_content(network)
        content = to_onnx(logits, example, opset=opset) if own is None else own
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
            return torch.from_numpy(session.run(None, fed)[0])

        agreement = compare_answers(
            logits, example, read_back, tolerance=tolerance, what="the ONNX file", **at_once
        )
    return record("onnx", path, agreement) | {"opset": opset if own is None else opset_of(own)}


def onnx_content(network: nn.Module) -> bytes | None:
    """The file of a network whose whole state is one, as bytes in a tensor called `file`; None of others."""
    state = network.state_dict()
    held = state.get("file")
    if len(state) != 1 or held is None or held.dtype != torch.uint8:
        return None
    return bytes(held.cpu().numpy().tobytes())
