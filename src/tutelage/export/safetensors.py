"""Weights alone, as safetensors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor, nn

from tutelage.capture import call
from tutelage.export.checking import Record, compare_answers, new_file, record
from tutelage.traced import Logits, ready

__all__ = ["safetensors"]


def safetensors(
    network: nn.Module, example: Any, path: Path | str, *, tolerance: float = 1e-4, overwrite: bool = False
) -> Record:
    """Write a network's state dict; it loads into the plain class, without tutelage.

    Args:
        network: any module; its modes, device and weights stay as they are.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        path: the file to write, usually `.safetensors`.
        tolerance: the largest difference of a logit that the check allows, as a share of the largest logit.
        overwrite: replace a file that is there.

    Returns:
        `format`, `path`, `bytes`, and how far the logits of what was read back are: see
        `tutelage.export.checking.Agreement`.

    Raises:
        ModelError: what was read back differs from the network, or its state holds more than tensors.
        OutputError: the file is there already, or cannot be written.

    Example:
        >>> import tempfile, torch
        >>> from safetensors.torch import load_file
        >>> network = nn.Linear(4, 3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     said = safetensors(network, torch.ones(1, 4), f"{folder}/student.safetensors")
        ...     state = load_file(said["path"])
        >>> plain = nn.Linear(4, 3)
        >>> plain.load_state_dict(state)
        <All keys matched successfully>
    """
    path = Path(path)
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        tensors = {
            name: value for name, value in logits.network.state_dict().items() if isinstance(value, Tensor)
        }
        # Copies: what shares memory (tied weights) is written twice, so that a plain load finds each name.
        # Written by ourselves: `save_file` leaves a file that nobody else may read.
        content = save(
            {name: value.clone().contiguous() for name, value in tensors.items()}, {"format": "pt"}
        )
        file.write_bytes(content)
        twin = copy.deepcopy(logits.network)

        def read_back(inputs: Any) -> Tensor:
            twin.load_state_dict(load_file(file))
            answer: Tensor = call(Logits(twin).eval(), inputs)
            return answer

        agreement = compare_answers(
            logits, example, read_back, tolerance=tolerance, what="the safetensors file"
        )
    return record("safetensors", path, agreement)
