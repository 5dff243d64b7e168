"""How many threads a stage trains with: one, or all, by the time of a few steps of copies."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.data import reading
from tutelage.engine import Runtime, seeded
from tutelage.files import read_json, write_json
from tutelage.threads import fastest_threads
from tutelage.training.stage import Ready
from tutelage.types import Batch

__all__ = ["threads_of"]


def threads_of(ready: Ready, runtime: Runtime, folder: Path) -> int:
    """The threads to train a stage with; chosen once and noted, so that a resumed training has the same.

    A network of microseconds is a hundred times slower on many threads than on one, and sums depend on their
    number to the last digit.

    Args:
        ready: the stage.
        runtime: where; nothing is chosen on accelerators, and with several processes.
        folder: of the stage.
    """
    many = torch.get_num_threads()
    if many == 1 or runtime.device.type != "cpu" or runtime.world > 1:
        return many
    noted = folder / "threads.json"
    if noted.exists():
        return int(read_json(noted)["threads"])
    networks = {one.name: (copy.deepcopy(one.network), one.reads) for one in ready.scheme.learners}
    batch = next(iter(ready.loader.epoch(0)))[0]
    with seeded(0):
        count = fastest_threads(lambda: _steps(networks, batch), device=runtime.device)
    write_json(noted, {"threads": count})
    return count


def _steps(networks: Mapping[str, tuple[nn.Module, object]], batch: Batch) -> None:
    """Forward and backward passes of all networks."""
    for network, reads in networks.values():
        answer = capture(network, reading(batch, reads).inputs)  # type: ignore[arg-type]
        found = answer.logits if answer.logits is not None else answer.head and answer.head.hidden
        if isinstance(found, Tensor) and found.requires_grad:
            torch.autograd.backward(found.float().square().mean())
