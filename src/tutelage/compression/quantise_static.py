"""INT8 after training, with ranges of activations from calibration examples."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.onnx_form import (
    OnnxForm,
    exchanged,
    exported,
    in_place_of,
    noise_of_layers,
    trimmed,
)
from tutelage.errors import TutelageWarning, UnknownName
from tutelage.traced import missing_instructions

__all__ = ["QuantiseStatic", "check_numbers", "silent"]

_METHODS = {"range": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
_NUMBERS = ("uint8", "int8", "int7")


class QuantiseStatic(Changer):
    """Static INT8: weights and activations in 8 bits, with ranges from calibration examples.

    ONNX Runtime does it: convolutions, linear layers and what lies between them compute with integers, and
    the network becomes an ONNX file (`OnnxNetwork`).

    Args:
        calibration: how a tensor's range is found on the examples: its least and greatest number (`range`),
            without the outermost 0.01 per mille (`percentile`), or where the histogram in 8 bits loses the
            least information (`entropy`).
        examples: how many; fewer where there are fewer.
        per_channel: a step of its own for each channel of a weight.
        numbers: what weights become: `uint8`, right on every processor; `int8`, the fastest with VNNI, but
            sums of products saturate without it, so that answers may be wrong; `int7`, int8 with a bit less,
            right everywhere.
        keep_float: how many of the layers that lose most stay in float32.

    Raises:
        UnknownName: no such method, or numbers.
        ValueError: a count out of range.
        MissingExtra: the packages of the extra `onnx` are missing, when it is asked.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
        Only Inference", sections 2 and 3; entropy: Migacz 2017, "8-bit Inference with TensorRT".
        Differences: ONNX Runtime's quantiser, whose activations are uint8 with a zero point.

    Example:
        >>> QuantiseStatic(calibration="entropy").numbers
        'uint8'
    """

    final: ClassVar[bool] = True

    def __init__(
        self,
        *,
        calibration: str = "range",
        examples: int = 256,
        per_channel: bool = True,
        numbers: str = "uint8",
        keep_float: int = 0,
    ) -> None:
        if calibration not in _METHODS:
            raise UnknownName("calibration", calibration, _METHODS)
        if examples < 1 or keep_float < 0:
            raise ValueError(
                f"examples={examples} and keep_float={keep_float} came; at least 1 and 0 are expected"
            )
        self.calibration, self.examples = calibration, examples
        self.per_channel, self.numbers = per_channel, check_numbers(numbers)
        self.keep_float = keep_float

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """The INT8 network, and of each layer how much rounding it alone costs, the worst first."""
        warn_of_saturation(self.numbers)
        form = exported(network, calibration, count=self.examples, name="quantise")
        ranges = _ranges(form, _METHODS[self.calibration])
        layers = noise_of_layers(form, lambda layer: self._rounded(form, ranges, only=[layer]))
        kept = {one["layer"] for one in layers[: self.keep_float]}
        left_out = [layer for layer in form.layers if layer in kept]
        content = self._rounded(form, ranges, but=left_out)
        made = in_place_of(network, content, form, calibration, rounded="all")
        done = {
            "how": "static",
            "bytes": len(made.file),
            "parameters": form.stands.parameters,
            "flops": form.stands.flops,
            "rounded": "all",
            "examples": form.examples,
            "layers": [one | {"float": one["layer"] in kept} for one in layers],
        }
        return Changed(made, done)

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:  # noqa: ARG002
        """A place for the file of the quantised network."""
        return exchanged(done)

    def _rounded(
        self, form: OnnxForm, ranges: Any, *, only: list[str] | None = None, but: list[str] | None = None
    ) -> bytes:
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.registry import QDQRegistry

        kind = QuantType.QUInt8 if self.numbers == "uint8" else QuantType.QInt8
        with silent():
            quantiser = QDQQuantizer(
                form.copied(),
                self.per_channel,
                self.numbers == "int7",
                kind,
                QuantType.QUInt8,
                ranges,
                only or [],
                but or [],
                list(QDQRegistry),
                {},
            )
            quantiser.quantize_model()
        content: bytes = trimmed(quantiser.model.model).SerializeToString()
        return content


def check_numbers(numbers: str) -> str:
    """The kind of numbers as it came.

    Raises:
        UnknownName: there is no such kind.
    """
    if numbers not in _NUMBERS:
        raise UnknownName("kind of numbers", numbers, _NUMBERS)
    return numbers


def warn_of_saturation(numbers: str) -> None:
    """Say that int8 weights may give wrong sums on this processor, where that is so."""
    missing = missing_instructions()
    if numbers == "int8" and missing:
        warnings.warn(
            f"numbers: int8 on a processor without {missing}: sums of products of uint8 and int8 saturate "
            "here, and answers may be wrong; take numbers: uint8 or int7, which are right on every processor",
            TutelageWarning,
            stacklevel=2,
        )


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Leave out what ONNX Runtime's quantiser prints and logs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _ranges(form: OnnxForm, method: str) -> Any:
    """The ranges of all tensors on the calibration examples."""
    import onnx
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator
    from onnxruntime.quantization.registry import QDQRegistry

    with tempfile.TemporaryDirectory() as folder, silent():
        path = Path(folder) / "network.onnx"
        onnx.save_model(form.copied(), str(path))
        calibrator = create_calibrator(
            path,
            list(QDQRegistry),
            augmented_model_path=str(Path(folder) / "observed.onnx"),
            calibrate_method=CalibrationMethod[method],
            providers=["CPUExecutionProvider"],
        )
        for inputs in form.inputs:
            calibrator.collect_data(_Once(inputs))
        found = calibrator.compute_data()
        del calibrator
    return found


class _Once:
    """One batch, as ONNX Runtime's calibration reads it."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.left = [dict(inputs)]

    def get_next(self) -> dict[str, Any] | None:
        """The batch; None from the second time on."""
        return self.left.pop() if self.left else None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.get_next, None)
