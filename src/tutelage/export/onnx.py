"""Graph and weights, as ONNX."""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.data.frames import Encoding
from tutelage.errors import MissingExtra, ModelError
from tutelage.export.checking import (
    Logits,
    Record,
    new_file,
    ready,
    record,
    tensors_of,
    trace,
    worst_difference,
)
from tutelage.export.raw_columns import fed_with, with_columns

__all__ = ["onnx"]

_CHECKED = 256  # raw rows that the file is checked on
_LARGEST = 2**31 - 2**20  # what fits in one file of ONNX, less some room for the graph


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
    with _quiet():
        runtime = _packages()["onnxruntime"]
    _refuse_large(network)
    raw, counts = example, [1, 3]
    if encoding is not None:
        raw = example[:_CHECKED]
        example, counts = encoding(raw), [1, 3, len(raw)]
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        content = _translate(logits, example)
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


def _translate(logits: Logits, example: Any) -> bytes:
    program = trace(logits, example)
    inputs = program.graph_signature.user_inputs
    axes = [{0: "batch"} if number == 0 else None for number in range(len(inputs))]  # the others share it
    try:
        with _quiet():
            translated = torch.onnx.export(
                program, dynamo=True, verbose=False, output_names=["logits"], dynamic_shapes=axes
            )
    except torch.onnx.errors.OnnxExporterError as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{type(logits.network).__name__} has no translation to ONNX: {first}. Export to torch_export or "
            "safetensors instead"
        ) from error
    assert translated is not None
    content: bytes = translated.model_proto.SerializeToString()
    return content


def _packages() -> dict[str, Any]:
    found = {}
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            found[name] = importlib.import_module(name)
        except ImportError as error:
            raise MissingExtra(name, extra="onnx", purpose="export to ONNX") from error
    return found


def _refuse_large(network: nn.Module) -> None:
    size = sum(t.nbytes for t in (*network.parameters(), *network.buffers()))
    if size > _LARGEST:
        raise ModelError(
            f"{type(network).__name__} holds {size / 1e9:.1f} GB, and one ONNX file holds at most 2. Export "
            "to torch_export or safetensors instead"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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
