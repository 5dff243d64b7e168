"""Graph and weights, for OpenVINO: Intel's processors, graphics and neural units."""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import MissingExtra, ModelError, OutputError
from tutelage.export.checking import Record, compare_answers, new_file, record
from tutelage.files import replacing
from tutelage.traced import first_line, quiet, ready, said_of, tensors_of, trace

__all__ = ["openvino"]


def openvino(
    network: nn.Module,
    example: Any,
    path: Path | str,
    *,
    tolerance: float = 1e-4,
    overwrite: bool = False,
    half: bool = False,
) -> Record:
    """Write a network as OpenVINO's two files, the graph as XML and its weights beside it as `.bin`.

    The first axis of each input takes any number; the output is called `logits`.

    Args:
        network: any module that torch.export can follow; its modes, device and weights stay as they are.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        path: the file of the graph, `.xml`; the weights' has the same name with `.bin`.
        tolerance: the largest difference of a logit that the check allows, as a share of the largest logit.
        overwrite: replace files that are there.
        half: write weights in 16 bits; a tolerance of 1e-2 suits them.

    Returns:
        `format`, `path`, `bytes` of both files, and how far the logits are that OpenVINO computes on the CPU:
        see `tutelage.export.checking.Agreement`.

    Raises:
        MissingExtra: OpenVINO is not installed.
        ModelError: the network cannot be followed or translated, or OpenVINO's answer differs.
        OutputError: a file is there already, or cannot be written.
    """
    path = Path(path)
    package = _package()
    weights = path.with_suffix(".bin")
    if weights.exists() and not overwrite:
        raise OutputError(
            f"{weights} is there already; choose another path, or pass overwrite=True to replace it"
        )
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        program = trace(logits, example)
        try:
            with quiet():
                model = package.convert_model(program)
        except Exception as error:
            raise ModelError(
                f"{type(network).__name__} has no translation to OpenVINO: {said_of(program, error)}. Export "
                "to another format instead"
            ) from error
        model.outputs[0].get_tensor().set_names({"logits"})
        with tempfile.TemporaryDirectory() as folder, replacing(weights) as beside:
            package.save_model(model, f"{folder}/student.xml", compress_to_fp16=half)
            file.write_bytes(Path(folder, "student.xml").read_bytes())
            beside.write_bytes(Path(folder, "student.bin").read_bytes())
            compiled = _compiled(package, folder)
            agreement = compare_answers(
                logits,
                example,
                lambda inputs: _answer(compiled, inputs),
                tolerance=tolerance,
                what="the OpenVINO file",
            )
    return record("openvino", path, agreement, size=os.path.getsize(path) + os.path.getsize(weights))


def _compiled(package: Any, folder: str) -> Any:
    """What the files hold, for the CPU, computing in float32."""
    try:
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        return package.Core().compile_model(f"{folder}/student.xml", "CPU", settings)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot run what it wrote: {first_line(error)}") from error


def _answer(compiled: Any, inputs: Any) -> Tensor:
    found = compiled([tensor.contiguous().numpy() for tensor in tensors_of(inputs)])
    return torch.from_numpy(found[0].copy())


def _package() -> Any:
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise MissingExtra("openvino", extra="openvino", purpose="export to OpenVINO") from error
