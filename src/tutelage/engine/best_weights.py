"""The weights that are kept aside while training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from tutelage.engine.checkpoint import Checkpoint
from tutelage.engine.sharding import spread, whole

__all__ = ["BestWeights"]


class BestWeights:
    """The best weights so far: in a file where there is a path, else in memory."""

    def __init__(self, path: Path | None) -> None:
        self.file = Checkpoint(path) if path else None
        self.held: dict[str, dict[str, Tensor]] = {}

    def save(self, modules: Mapping[str, nn.Module], *, writes: bool) -> None:
        """Keep the weights of now; only a process that `writes` touches the file."""
        state = {name: whole(module.state_dict()) for name, module in modules.items()}
        if self.file is None:
            self.held = {name: {k: v.detach().clone() for k, v in s.items()} for name, s in state.items()}
        elif writes:
            self.file.save(state)

    def restore(self, modules: Mapping[str, nn.Module]) -> None:
        """Put the kept weights into the modules."""
        state = self.file.load() if self.file else self.held
        for name, module in modules.items():
            module.load_state_dict(spread(state[name], module))
