"""Hidden units of linear layers are taken out, with what goes into them and what comes out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.compression.changer import Calibration
from tutelage.compression.hidden import hidden_layers
from tutelage.compression.left import in_words, warn_of
from tutelage.compression.memory import shared_layers
from tutelage.compression.saliency import gradients
from tutelage.compression.settle import settle
from tutelage.errors import ModelError

__all__ = ["keep_units", "prune_units"]


def prune_units(
    network: nn.Module, calibration: Calibration | None, *, share: float, by: str, batches: int
) -> dict[str, Any]:
    """Prune in place; which units of which layers were kept, by the layers' paths.

    Args:
        network: its parametrised weights are made plain first.
        calibration: for scores that look at data.
        share: of each layer's units that is taken out.
        by: `magnitude` or `taylor`.
        batches: of examples that are looked at.

    Raises:
        ModelError: no layer can be pruned, or examples are needed that are not there.
    """
    hidden = _own(settle(network))
    scores = _by_taylor(network, hidden, calibration, batches) if by == "taylor" else {}
    kept = {}
    for path, readers in hidden.items():
        score = scores[path] if scores else _by_norms(*_layers(network, path, readers))
        count = max(1, round(len(score) * (1 - share)))
        kept[path] = sorted(score.topk(count).indices.tolist())
        _keep(*_layers(network, path, readers), kept[path])
    return kept


def keep_units(network: nn.Module, kept: Mapping[str, Sequence[int]]) -> None:
    """Bring a network that was built anew into the pruned shape."""
    hidden = hidden_layers(settle(network))
    for path, units in kept.items():
        _keep(*_layers(network, path, hidden[path]), units)


def _own(network: nn.Module) -> dict[str, list[str]]:
    """The hidden layers whose weights, and those of whose readers, are nobody else's."""
    hidden, shared = hidden_layers(network), shared_layers(network)
    left: dict[str, str] = {}
    for path, readers in hidden.items():
        tied = [each for each in (path, *readers) if each in shared]
        if tied:
            read = "" if tied[0] == path else f"is read by {tied[0]}, which "
            left[path] = f"{read}shares weights with {shared[tied[0]]}"
    found = {path: readers for path, readers in hidden.items() if path not in left}
    if not found:
        raise ModelError(
            f"prune found no hidden linear layer in {type(network).__name__}: one whose answer goes "
            "through activations and dropout into other linear layers, and nowhere else. Other layers are "
            f"pruned with `structure: channels`, single weights with `structure: weights`. {in_words(left)}"
        )
    warn_of(left)
    return found


def _by_norms(first: nn.Linear, readers: Sequence[nn.Linear]) -> Tensor:
    """The norm of what goes into a unit times the norm of what comes out of it."""
    incoming = first.weight.detach().norm(dim=1)
    score: Tensor = incoming * torch.cat([reader.weight.detach() for reader in readers]).norm(dim=0)
    return score


def _by_taylor(
    network: nn.Module, hidden: Mapping[str, Sequence[str]], calibration: Calibration | None, batches: int
) -> dict[str, Tensor]:
    """How the loss changes without a unit, to first order: |Σ weight · gradient| of what goes in."""
    layers = {path: _layers(network, path, readers)[0] for path, readers in hidden.items()}
    held = {path: [p for p in (layer.weight, layer.bias) if p is not None] for path, layer in layers.items()}
    parameters = [parameter for each in held.values() for parameter in each]
    sums = {path: torch.zeros_like(layer.weight[:, 0]).detach() for path, layer in layers.items()}
    for found in gradients(network, parameters, calibration, batches=batches):
        rest = iter(found)
        for path, own in held.items():
            parts = [(p.detach() * next(rest)).reshape(len(p), -1).sum(1) for p in own]
            sums[path] += torch.stack(parts).sum(0).abs()
    return sums


def _layers(network: nn.Module, path: str, readers: Sequence[str]) -> tuple[nn.Linear, list[nn.Linear]]:
    found = [network.get_submodule(one) for one in (path, *readers)]
    linear = [one for one in found if isinstance(one, nn.Linear)]
    return linear[0], linear[1:]


def _keep(first: nn.Linear, readers: Sequence[nn.Linear], units: Sequence[int]) -> None:
    index = torch.tensor(units, device=first.weight.device)
    _set(first, "weight", first.weight[index])
    if first.bias is not None:
        _set(first, "bias", first.bias[index])
    first.out_features = len(units)
    for reader in readers:
        _set(reader, "weight", reader.weight[:, index])
        reader.in_features = len(units)


def _set(layer: nn.Linear, name: str, value: Tensor) -> None:
    learns = getattr(layer, name).requires_grad
    setattr(layer, name, nn.Parameter(value.detach().clone(), requires_grad=learns))
