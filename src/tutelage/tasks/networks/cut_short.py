"""Networks that are called up to a layer, and what a dry run shows of them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.capture import call, logits_of
from tutelage.errors import ModelError
from tutelage.modes import evaluating
from tutelage.tasks.networks.early_exit import Enough

__all__ = ["Seen", "until", "without_rest"]


class _Stop(Exception):
    """An answer is enough, and the rest of the network is left out."""


def until(
    network: nn.Module, heads: Mapping[str, tuple[str, nn.Module]], enough: Enough, inputs: Any
) -> Any | None:
    """Call a network with a head after some of its layers; its answer, or None where one was enough."""

    def listening(name: str, head: nn.Module) -> Callable[..., None]:
        def note(_: nn.Module, __: Any, output: Any) -> None:
            if enough(name, head(output)):
                raise _Stop

        return note

    handles = [
        network.get_submodule(path).register_forward_hook(listening(name, head))
        for path, (name, head) in heads.items()
    ]
    try:
        return call(network, inputs)
    except _Stop:
        return None
    finally:
        for handle in handles:
            handle.remove()


class Seen:
    """What a dry run showed.

    Args:
        order: paths of all modules, in the order in which they first finished.
        features: what the asked ones gave.
        classes: of the network's own answer.
    """

    def __init__(self, order: list[str], features: dict[str, Tensor], classes: int) -> None:
        self.order, self.features, self.classes = order, features, classes

    @classmethod
    def by(cls, network: nn.Module, at: Sequence[str], example: Any) -> Seen:
        """Run a network once and note what finishes when."""
        runs: Counter[str] = Counter()
        features: dict[str, Any] = {}

        def noter(path: str) -> Callable[..., None]:
            def note(_: nn.Module, __: Any, output: Any) -> None:
                runs[path] += 1
                if path in at:
                    features[path] = output

            return note

        handles = [
            module.register_forward_hook(noter(path)) for path, module in network.named_modules() if path
        ]
        try:
            with torch.no_grad(), evaluating(network):
                logits = logits_of(call(network, example))
        finally:
            for handle in handles:
                handle.remove()
        for path in at:
            _check_feature(path, runs[path], features.get(path))
        return cls(list(runs), features, 0 if logits is None else logits.shape[-1])


def _check_feature(path: str, runs: int, feature: Any) -> None:
    if runs != 1:
        raise ModelError(
            f"layer {path} ran {runs} times in one forward pass; an exit stands after one that runs once: "
            "name another"
        )
    if not isinstance(feature, Tensor) or not 2 <= feature.ndim <= 4:
        came = (
            f"a tensor of shape {list(feature.shape)}"
            if isinstance(feature, Tensor)
            else type(feature).__name__
        )
        raise ModelError(
            f"layer {path} gives {came}; an exit reads vectors, tokens or maps: a tensor of 2 to 4 axes"
        )


def without_rest(module: nn.Module, path: str, ran: Sequence[str]) -> nn.Module:
    """A module on the same weights, those empty that had not begun when the last of `ran` finished."""
    if path in ran:
        return module
    if path and not any(other.startswith(f"{path}.") for other in ran):
        return nn.Identity()
    kept = copy.copy(module)
    kept._modules = {
        name: None if child is None else without_rest(child, f"{path}.{name}".removeprefix("."), ran)
        for name, child in module._modules.items()
    }
    return kept
