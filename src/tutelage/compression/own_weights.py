"""Layers whose weight is theirs alone, so that it can be replaced without another layer noticing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import nn

from tutelage.errors import ModelError, UnknownName

__all__ = ["own_weights"]


def own_weights(
    network: nn.Module, kinds: tuple[type[nn.Module], ...], layers: Sequence[str] | None, *, name: str
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Layers of some kinds by path; and those that have to be left alone, with the reason.

    Args:
        network: any module.
        kinds: classes of layers that hold a `weight`.
        layers: their paths; None for all of these kinds.
        name: of the change, for errors.

    Raises:
        ModelError: there is no such layer.
        UnknownName: a path is not that of such a layer.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
        >>> network[1].weight = network[0].weight
        >>> own, left = own_weights(network, (nn.Linear,), None, name="share")
        >>> list(own), left["1"]
        (['2'], 'its weights are those of another layer too')
    """
    found = {
        path: module
        for path, module in network.named_modules(remove_duplicate=False)
        if isinstance(module, kinds)
    }
    if not found:
        known = ", ".join(kind.__name__ for kind in kinds)
        raise ModelError(f"{name} found no layer to change in {type(network).__name__}; it knows {known}")
    for path in layers or ():
        if path not in found:
            raise UnknownName("layer", path, found)
    held = Counter(
        parameter.untyped_storage().data_ptr()
        for _, parameter in network.named_parameters(remove_duplicate=False)
    )
    own, left = {}, {}
    for path, module in found.items():
        if layers is not None and path not in layers:
            continue
        places = [parameter.untyped_storage().data_ptr() for parameter in module.parameters()]
        if not places:
            left[path] = "it has no parameters"
        elif any(held[place] > 1 for place in places):
            left[path] = "its weights are those of another layer too"
        else:
            own[path] = module
    return own, left
