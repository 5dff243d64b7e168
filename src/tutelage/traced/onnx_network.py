"""A network that is an ONNX file, run by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.errors import CheckpointError, ModelError
from tutelage.traced.trace import first_line
from tutelage.traced.translate import packages

__all__ = ["OnnxNetwork", "Stands"]


@dataclass(frozen=True)
class Stands:
    """What a network in another form stands for.

    Args:
        parameters: how many numbers the network learned that it came from.
        flops: of one example in that network; None where they are not known.
    """

    parameters: int
    flops: int | None = None


class OnnxNetwork(nn.Module):
    """A network whose state is the bytes of an ONNX file, and which answers its logits.

    Its state dict holds one tensor, the file's bytes as uint8, so that a safetensors file of it is the file
    itself. It runs on the CPU with as many threads as torch is set to, opens the file when it is first asked,
    and learns nothing.

    Args:
        file: the bytes; or how many there will be, where they are loaded later.
        stands: what it stands for, for costs.
        rounded: what in it is rounded to few bits: `weights`, or `all`, where it computes with integers;
            empty for nothing.

    Shapes: as the network that it came from; inputs by position in the order of the file's, or by name ->
    logits, the first axis counting examples.

    Raises:
        MissingExtra: ONNX Runtime is not installed, when it is asked.
        ModelError: inputs that the file does not know, or a kernel that this processor lacks.

    Example:
        >>> network = OnnxNetwork(3, Stands(parameters=1))
        >>> {name: value.shape for name, value in network.state_dict().items()}
        {'file': torch.Size([3])}
    """

    file: Tensor

    def __init__(self, file: bytes | int, stands: Stands, *, rounded: str = "") -> None:
        super().__init__()
        held = np.zeros(file, np.uint8) if isinstance(file, int) else np.frombuffer(file, np.uint8).copy()
        self.register_buffer("file", torch.from_numpy(held))
        self.stands, self.rounded = stands, rounded
        self._sessions: dict[tuple[int, ...], Any] = {}

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        return self.file.cpu().numpy().tobytes()

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """The logits for a batch."""
        if not named and len(inputs) == 1 and not isinstance(inputs[0], Tensor):
            raise ModelError(
                f"a tensor was expected as input of an ONNX file; got {type(inputs[0]).__name__}"
            )
        session = self._session()
        known = {given.name: given.type for given in session.get_inputs()}
        fed = named or dict(zip(known, inputs, strict=False))
        if fed.keys() != known.keys() or (not named and len(inputs) != len(known)):
            raise ModelError(
                f"the ONNX file reads {', '.join(known)}; it was called with "
                f"{', '.join(named) or f'{len(inputs)} inputs'}"
            )
        device = next(iter(fed.values())).device
        arrays = {name: _as_array(fed[name], kind) for name, kind in known.items()}
        try:
            answer = session.run(None, arrays)[0]
        except Exception as error:
            shapes = ", ".join(f"{name} {list(held.shape)}" for name, held in arrays.items())
            raise ModelError(f"the ONNX file cannot be run with {shapes}: {first_line(error)}") from error
        return torch.from_numpy(np.asarray(answer)).to(device)

    def _session(self) -> Any:
        """A session with torch's number of threads, for the bytes of now."""
        key = (torch.get_num_threads(), self.file.data_ptr(), self.file._version)
        if key not in self._sessions:
            self._sessions = {held: one for held, one in self._sessions.items() if held[1:] == key[1:]}
            self._sessions[key] = _open(self.content, key[0])
        return self._sessions[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}}

    def extra_repr(self) -> str:
        """Its size."""
        return f"{len(self.file):,} bytes"


def _open(content: bytes, threads: int) -> Any:
    runtime = packages("a network in the form of ONNX", ["onnxruntime"])["onnxruntime"]
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        said = first_line(error)
        if "NOT_IMPLEMENTED" in said or "Could not find an implementation" in said:
            raise ModelError(
                f"ONNX Runtime {runtime.__version__} has no kernel on this processor for a layer of the "
                f"file: {said}. Quantise otherwise, such as by weights alone, or ask on another machine"
            ) from error
        raise CheckpointError(f"these bytes are no ONNX file that ONNX Runtime opens: {said}") from error


_KINDS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def _as_array(tensor: Tensor, kind: str) -> Any:
    wanted = _KINDS.get(kind)
    held = tensor.detach().cpu()
    if held.dtype is torch.bfloat16:
        held = held.float()
    array = held.numpy()
    return array if wanted is None or array.dtype == wanted else array.astype(wanted)
