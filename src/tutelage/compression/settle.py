"""Parametrised weights made plain again: what a mask, a codebook or rounding left of them."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize

__all__ = ["is_settled", "settle"]


def is_settled(network: nn.Module) -> bool:
    """Whether no weight is computed from others."""
    return not any(parametrize.is_parametrized(module) for module in network.modules())


def settle(network: nn.Module) -> nn.Module:
    """Make each parametrised weight the value that it has now, in place.

    Example:
        >>> import torch
        >>> from torch.nn.utils import parametrize
        >>> class Half(nn.Module):
        ...     def forward(self, weight):
        ...         return weight / 2
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = parametrize.register_parametrization(layer, "weight", Half())
        >>> value = layer.weight.item()
        >>> settle(layer).weight.item() == value, list(layer.state_dict())
        (True, ['weight'])
    """
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            _own_class(module)
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, str(name), leave_parametrized=True)
    return network


def _own_class(module: nn.Module) -> None:
    """Give a module a parametrised class of its own: a copy shares it, and would lose its weights with it."""
    kind = type(module)
    members = {name: held for name, held in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(kind.__name__, kind.__bases__, members)
