"""What every format shares: a network that answers logits, and a file that is checked before it stands."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.capture import call, head_of, logits_of
from tutelage.errors import ModelError, OutputError
from tutelage.files import replacing
from tutelage.modes import evaluating
from tutelage.types import map_tensors

__all__ = [
    "MOST",
    "Agreement",
    "Logits",
    "compare_answers",
    "first_line",
    "new_file",
    "ready",
    "record",
    "rows",
    "tensors_of",
    "trace",
]

MOST = 100
"""How many examples a file is compared with its network on."""

_AT_ONCE = 16  # of them, so that the logits of long texts fit in memory

Record = dict[str, Any]
"""What an export says: `format`, `path`, `bytes`, and what `Agreement` holds."""


@dataclass(frozen=True)
class Agreement:
    """How far the answers of a file are from the network's.

    Args:
        max_difference: of a logit, the largest.
        tolerance: that was allowed, as a share of the largest logit (of 1, if that is smaller).
        examples: how many were compared.
        same_first_choice: the share of answers whose greatest logit is the same one; None where an answer is
            a single number.
    """

    max_difference: float
    tolerance: float
    examples: int
    same_first_choice: float | None


class Logits(nn.Module):
    """A network that answers logits, whatever the one inside answers; called with the same arguments."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

        @wraps(network.forward)  # the names of the inputs are those of the network
        def forward(*args: Any, **kwargs: Any) -> Tensor:
            answer = network(*args, **kwargs)
            logits, head = logits_of(answer), head_of(answer)
            if head is not None:
                return head.whole()
            if logits is None:
                raise ModelError(
                    f"{type(network).__name__} left its logits empty; export the whole network, its last "
                    "layer included"
                )
            return logits

        self.forward = forward


@contextlib.contextmanager
def ready(network: nn.Module) -> Iterator[Logits]:
    """Inside the block, a network's logits: on the CPU, in eval mode, without gradients."""
    if any(tensor.device.type != "cpu" for tensor in chain(network.parameters(), network.buffers())):
        network = copy.deepcopy(network).cpu()
    with evaluating(network), torch.no_grad():
        yield Logits(network).eval()


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A place to write to, which becomes `path` once the block, and with it the check, has ended well.

    Raises:
        OutputError: a file is there and is not to be overwritten; or the folder cannot be written to.
    """
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} is there already; choose another path, or pass overwrite=True to replace it"
        )
    with replacing(path) as beside:
        yield beside


def rows(example: Any, count: int) -> Any:
    """`count` examples on the CPU, taken from `example` and, where it has fewer, repeated."""
    return map_tensors(example, lambda tensor: tensor.detach().cpu()[torch.arange(count) % len(tensor)])


def _between(example: Any, start: int, end: int) -> Any:
    return map_tensors(example, lambda tensor: tensor.detach().cpu()[start:end])


def tensors_of(inputs: Any) -> list[Tensor]:
    """The tensors among a network's inputs, in their order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(inputs, note)
    return found


def trace(logits: Logits, example: Any, *, most: int | None = None) -> torch.export.ExportedProgram:
    """The network as a graph for any number of examples, without the example and this machine's paths.

    Args:
        logits: the network.
        example: what it is called with.
        most: examples at a time, for runtimes that must know; None for any number.

    Raises:
        ModelError: torch.export cannot follow the network.
    """
    inputs = rows(example, 3)  # one alone would make the graph one for a single example
    args, kwargs = _arguments(inputs)
    collection: Any = torch.export.ShapesCollection  # its methods carry no types
    shapes, batch = collection(), torch.export.Dim("batch", max=most)
    for tensor in tensors_of(inputs):
        shapes[tensor] = {0: batch}
    try:
        specification = shapes.dynamic_shapes(logits, args, kwargs)
        program = torch.export.export(logits, args, kwargs, dynamic_shapes=specification)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"torch.export cannot follow {type(logits.network).__name__}: {first_line(error)}. Write its "
            "forward without branches on values and on the number of examples, or export to safetensors"
        ) from error
    program.example_inputs = None
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def compare_answers(
    logits: Logits,
    example: Any,
    read_back: Callable[[Any], Tensor],
    *,
    tolerance: float,
    what: str,
    at_once: int = _AT_ONCE,
) -> Agreement:
    """How far a file's logits are from the network's: for one example, for three, and for all that came.

    Args:
        logits: the network.
        example: what it is called with; the first 100 examples are asked about.
        read_back: inputs -> the answer of what was read back from the file.
        tolerance: the difference that is allowed, as a share of the largest logit (of 1, if that is smaller).
        what: what to call the file.
        at_once: how many examples to ask about at a time.

    Raises:
        ModelError: the file does not run, or differs by more.
    """
    what = f"{what} of {type(logits.network).__name__}"
    count = min(MOST, len(tensors_of(example)[0]))
    worst, same, chosen = 0.0, 0, 0
    for inputs in (rows(example, 1), rows(example, 3)):
        worst = max(worst, _difference(*_both(logits, inputs, read_back, what), tolerance, what))
    for start in range(0, count, at_once):
        inputs = _between(example, start, min(count, start + at_once))
        came, expected = _both(logits, inputs, read_back, what)
        worst = max(worst, _difference(came, expected, tolerance, what))
        choices = came.argmax(-1) == expected.argmax(-1)
        same, chosen = same + int(choices.sum()), chosen + choices.numel()
    choosing = chosen and expected.shape[-1] > 1
    return Agreement(worst, tolerance, count, same / chosen if choosing else None)


def record(name: str, path: Path, agreement: Agreement, *, size: int | None = None) -> Record:
    """What a finished export says.

    Args:
        name: of the format.
        path: of the file.
        agreement: with the network.
        size: in bytes, where more than the one file was written.
    """
    nbytes = os.path.getsize(path) if size is None else size
    return {"format": name, "path": str(path), "bytes": nbytes, **asdict(agreement)}


def _both(
    logits: Logits, inputs: Any, read_back: Callable[[Any], Tensor], what: str
) -> tuple[Tensor, Tensor]:
    """The file's answer and the network's, of one shape."""
    expected = call(logits, inputs)
    count = len(expected)
    try:
        came = read_back(inputs)
    except Exception as error:
        raise ModelError(
            f"{what} cannot be run with a batch of {count}: {first_line(error)}. Nothing was kept; "
            "choose another format"
        ) from error
    if came.shape != expected.shape:
        raise ModelError(
            f"{what} answers a batch of {count} with shape {list(came.shape)}, and the network with "
            f"{list(expected.shape)}. Nothing was kept; choose another format"
        )
    return came.double(), expected.double()


def _difference(came: Tensor, expected: Tensor, tolerance: float, what: str) -> float:
    difference = float(torch.where(came == expected, 0.0, (came - expected).abs()).max())
    finite = expected[expected.isfinite()].abs()
    allowed = tolerance * max(1.0, float(finite.max()) if len(finite) else 1.0)
    if not difference <= allowed:
        raise ModelError(
            f"{what} differs from the network by {difference:.3g} with a batch of {len(came)}, and "
            f"{allowed:.3g} is allowed. Nothing was kept; raise tolerance= if that is good enough, or choose "
            "another format"
        )
    return difference


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inputs as `capture.call` passes them."""
    if isinstance(inputs, dict):
        return (), inputs
    return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,), {}


def first_line(error: Exception) -> str:
    """What an error says, in a line without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
