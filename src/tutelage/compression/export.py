"""The network as it is, in the form of ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.onnx_form import exchanged, exported, in_place_of
from tutelage.errors import UnknownName

__all__ = ["Export"]


class Export(Changer):
    """The network in the form of an ONNX file, in float32, run by ONNX Runtime from then on.

    What ONNX Runtime itself saves is thus told apart from what rounding saves: quantise after this, and the
    network before and after it run alike. No training may follow.

    Args:
        format: `onnx`.

    Raises:
        UnknownName: another format.
        MissingExtra: the packages of the extra `onnx` are missing, when it is asked.

    Example:
        >>> Export(format="onnx").final
        True
    """

    final: ClassVar[bool] = True

    def __init__(self, *, format: str = "onnx") -> None:  # noqa: A002
        if format != "onnx":
            raise UnknownName("format to export a network to between stages", format, ["onnx"])

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """The network that is a file."""
        form = exported(network, calibration, count=1, name="export")
        content = form.model.SerializeToString()
        made = in_place_of(network, content, form, calibration, rounded="")
        about = {"parameters": form.stands.parameters, "flops": form.stands.flops}
        return Changed(made, {"format": "onnx", "rounded": "", "bytes": len(made.file), **about})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:  # noqa: ARG002
        """A place for the file."""
        return exchanged(done)
