"""Replace layers by two thinner ones, of low rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tutelage.compression.changer import Calibration, Changed, Changer, shown
from tutelage.compression.low_rank import KINDS, Spectrum, in_two, paying
from tutelage.compression.moments import second_moments
from tutelage.compression.own_weights import own_weights
from tutelage.compression.ranks import by_energy, by_parameters
from tutelage.compression.settle import settle
from tutelage.errors import ModelError

__all__ = ["Factorise"]


class Factorise(Changer):
    """Low-rank factorisation by singular value decomposition (SVD): one layer becomes two thinner ones.

    A linear layer becomes one to `rank` units and one back; a k×k convolution a k×k one to `rank` channels
    and a 1×1 one to its own; an embedding a thin one and a linear layer. What is kept are the directions of
    the layer's answer that hold most of it: with `weighted`, for the inputs that calibration examples bring,
    and otherwise as if inputs were white, which is the SVD of the weight.

    One of `rank`, `energy` and `parameters` says how far. A layer in which it would not save parameters stays
    whole, and is named in what was done; so is one whose weight another layer holds too, and a convolution
    with groups.

    Args:
        rank: of each layer, 1 or more.
        energy: the share of the mean square of each layer's answer that is kept at least, above 0 and below
            1; the weight's squared singular values where it is not weighted.
        parameters: the share of all of the network's parameters that may stay, above 0 and below 1. Ranks
            are given out one by one to the layer that gains most for a parameter, as a share of its answer.
        weighted: whether calibration examples weigh the directions.
        examples: about how many of them.
        layers: paths of the layers to change; None for all.

    Raises:
        ValueError: none or several of the three, or one out of range.
        ModelError: no layer can be changed, a budget that cannot be met, weights that are not finite, or no
            calibration examples where they are needed, when it is called.
        DataError: calibration examples are none, or not finite.

    Source: Zhang et al. 2016, "Accelerating Very Deep Convolutional Networks for Classification and
        Detection", sections 3.1 and 3.3: k×k to few channels, then 1×1, chosen by the eigenvectors of the
        answers; Chen et al. 2021, "DRONE: Data-aware Low-rank Compression for Large NLP Models", the same
        optimum for linear layers from the inputs, and Wang et al. 2025, "SVD-LLM", which whitens them.
        Differences: the second moment is not centred, and no nonlinearity is accounted for; layers are
        looked at one by one, with the inputs of the whole network; both layers get weights of one size, for
        the training that follows; greedy ranks go by shares of each layer's answer for each parameter, where
        Zhang et al. multiply the shares.

    Example:
        >>> network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> done = Factorise(rank=8).change(network).done
        >>> done["ranks"], done["left"]
        ({'0': 8}, {'2': 'rank 8 would save no parameters'})
        >>> [tuple(part.weight.shape) for part in network[0]]
        [(8, 64), (32, 8)]
    """

    def __init__(
        self,
        *,
        rank: int | None = None,
        energy: float | None = None,
        parameters: float | None = None,
        weighted: bool = False,
        examples: int = 1024,
        layers: Sequence[str] | None = None,
    ) -> None:
        given = {"rank": rank, "energy": energy, "parameters": parameters}
        if sum(value is not None for value in given.values()) != 1:
            said = ", ".join(f"{key}={value}" for key, value in given.items() if value is not None)
            raise ValueError(f"one of rank, energy and parameters is expected, and {said or 'none'} came")
        for key, value in (("rank", rank), ("examples", examples)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{key} came as {value!r}; a whole number of 1 or more is expected")
        for key, share in (("energy", energy), ("parameters", parameters)):
            if share is not None and not 0 < share < 1:
                raise ValueError(f"{key} came as {share}; a number above 0 and below 1 is expected")
        self.rank, self.energy, self.parameters = rank, energy, parameters
        self.weighted, self.examples, self.layers = weighted, examples, layers

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """Factorise in place; the rank of each layer, and what was left whole."""
        settle(network)
        own, left = own_weights(network, KINDS, self.layers, name="factorise")
        fit = {}
        for path, layer in own.items():
            why = _why_not(layer, path)
            if why is None:
                fit[path] = layer
            else:
                left[path] = why
        spectra = self._spectra(network, fit, left, calibration)
        ranks = self._ranks(network, {path: fit[path] for path in spectra}, spectra)
        for path in spectra:
            if path not in ranks:
                left[path] = self._left_whole
        if not ranks:
            raise ModelError(
                f"factorise can change no layer of {type(network).__name__}: "
                + "; ".join(f"{path}: {why}" for path, why in left.items())
            )
        for path, rank in ranks.items():
            _put(network, path, in_two(fit[path], rank, spectra[path].directions))
        return Changed(network, {"ranks": ranks, "left": left})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        """Build the same layers in a network that was built anew; their weights are loaded then."""
        settle(network)
        for path, rank in done["ranks"].items():
            _put(network, path, in_two(network.get_submodule(path), rank))
        return network

    @property
    def _left_whole(self) -> str:
        """Why a layer that could be changed was not."""
        if self.parameters is not None:
            return "the budget leaves it whole"
        which = "the rank of that energy" if self.rank is None else f"rank {self.rank}"
        return f"{which} would save no parameters"

    def _spectra(
        self,
        network: nn.Module,
        fit: Mapping[str, nn.Module],
        left: dict[str, str],
        calibration: Calibration | None,
    ) -> dict[str, Spectrum]:
        """By path what each layer's directions hold; those that no example reaches are named in `left`."""
        if not self.weighted:
            return {path: Spectrum(layer) for path, layer in fit.items()}
        examples = shown(calibration, name="factorise with weighted: true")
        moments = second_moments(network, fit, examples, examples=self.examples, name="factorise")
        left |= {path: "no calibration example reaches it" for path in fit if path not in moments}
        return {path: Spectrum(fit[path], **moment) for path, moment in moments.items()}

    def _ranks(
        self, network: nn.Module, layers: Mapping[str, nn.Module], spectra: Mapping[str, Spectrum]
    ) -> dict[str, int]:
        if self.rank is not None:
            return {path: self.rank for path, layer in layers.items() if self.rank <= paying(layer)}
        energies = {path: spectrum.energies for path, spectrum in spectra.items()}
        if self.energy is not None:
            return by_energy(layers, energies, self.energy)
        assert self.parameters is not None
        return by_parameters(network, layers, energies, self.parameters)


def _why_not(layer: nn.Module, path: str) -> str | None:
    """Why a layer has to stay whole; None for one that can be changed."""
    if type(layer) not in KINDS:  # one of another class may use its weight in its own way
        return f"it is no plain {', '.join(kind.__name__ for kind in KINDS)}, but a {type(layer).__name__}"
    weight = layer.weight
    if not isinstance(weight, nn.Parameter):
        return "its weight is computed from others"
    if getattr(layer, "groups", 1) != 1:
        return "its channels are in groups"
    if isinstance(layer, nn.Embedding) and (layer.max_norm is not None or layer.sparse):
        return "its embeddings are renormalised, or its gradients sparse"
    if isinstance(layer, nn.Embedding) and layer.scale_grad_by_freq:
        return "its gradients are scaled by frequency"
    if not torch.isfinite(weight.detach()).all():
        raise ModelError(f"the weight of {path} is not finite, and cannot be factorised; train it again")
    return None if paying(layer) else "no rank would save parameters"


def _put(network: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, layer)
