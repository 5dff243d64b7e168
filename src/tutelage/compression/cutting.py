"""Tensors cut by recorded indices: a structural change, done again to any network of the old shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import ModelError

__all__ = ["Cut", "cut_", "numbered", "read_cut"]

Cut = Mapping[str, Mapping[str, Any]]
"""By module path: `tensors`, name -> the indices kept along each axis (None for all of them), and `numbers`,
the integers that a module knows of its own shape, by attribute."""


def cut_(network: nn.Module, cut: Cut) -> nn.Module:
    """Cut a network's tensors in place.

    Args:
        network: of the old shape, whatever its weights.
        cut: what `read_cut` gave; or that as JSON gives it back.

    Raises:
        ModelError: a tensor has not the old shape.

    Example:
        >>> layer = cut_(nn.Linear(3, 4), {"": {"tensors": {"weight": [[0, 2], None], "bias": [[0, 2]]},
        ...                                     "numbers": {"out_features": 2}}})
        >>> layer
        Linear(in_features=3, out_features=2, bias=True)
    """
    for path, what in cut.items():
        module = network.get_submodule(path)
        for name, axes in what["tensors"].items():
            value = getattr(module, name)
            try:
                kept = _selected(value.detach(), axes)
            except (IndexError, RuntimeError) as error:
                raise ModelError(
                    f"{path}.{name} has the shape {list(value.shape)}, and indices up to "
                    f"{[max(axis) if axis else None for axis in axes]} were kept of it; the network is not "
                    "the one that was pruned"
                ) from error
            if isinstance(value, nn.Parameter):
                kept = nn.Parameter(kept, requires_grad=value.requires_grad)
            setattr(module, name, kept)
        for name, number in what["numbers"].items():
            setattr(module, name, tuple(number) if isinstance(number, list) else number)
    return network


def _selected(value: Tensor, axes: Sequence[Sequence[int] | None]) -> Tensor:
    for axis, indices in enumerate(axes):
        if indices is not None:
            value = value.index_select(axis, torch.tensor(indices, dtype=torch.long, device=value.device))
    return value.clone()


@torch.no_grad()
def numbered(network: nn.Module) -> nn.Module:
    """Fill each tensor of a network, in place, with the places of its own numbers: 0, 1, 2 …

    Whatever cuts it afterwards thus leaves behind which places it kept.
    """
    for module in network.modules():
        for name, value in list(module._parameters.items()):
            if value is not None:
                module._parameters[name] = nn.Parameter(_places(value))
        for name, held in list(module._buffers.items()):
            if held is not None:
                module._buffers[name] = _places(held)
    return network


def _places(value: Tensor) -> Tensor:
    return torch.arange(value.numel(), dtype=torch.float64).view(value.shape)


def read_cut(before: nn.Module, after: nn.Module) -> dict[str, dict[str, Any]]:
    """What was cut off a network whose tensors were `numbered`.

    Args:
        before: the network as it was, with any numbers.
        after: the numbered one, cut.

    Raises:
        ModelError: what was kept of a tensor are no whole rows or columns.
    """
    found: dict[str, dict[str, Any]] = {}
    later = dict(after.named_modules())
    for path, module in before.named_modules():
        tensors = {
            name: _axes(f"{path}.{name}", value, getattr(later[path], name))
            for name, value in (*module._parameters.items(), *module._buffers.items())
            if value is not None and value.shape != getattr(later[path], name).shape
        }
        numbers = {
            name: list(new) if isinstance(new, tuple) else new
            for name, new in vars(later[path]).items()
            if _is_shape(new) and new != vars(module).get(name)
        }
        if tensors or numbers:
            found[path] = {"tensors": tensors, "numbers": numbers}
    return found


def _axes(name: str, before: Tensor, after: Tensor) -> list[list[int] | None]:
    places = torch.unravel_index(after.detach().long().cpu(), before.shape)
    axes: list[list[int] | None] = []
    for axis, place in enumerate(places):
        first = [0] * after.ndim
        indices = place[tuple(slice(None) if each == axis else 0 for each, _ in enumerate(first))]
        spread = indices.view([-1 if each == axis else 1 for each in range(after.ndim)])
        if not torch.equal(place, spread.expand_as(place)):
            raise ModelError(f"what is kept of {name} are no whole rows or columns")
        whole = len(indices) == before.shape[axis]
        axes.append(None if whole else indices.tolist())
    return axes


def _is_shape(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(_is_shape(each) for each in value)
    return isinstance(value, int) and not isinstance(value, bool)
