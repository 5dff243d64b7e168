"""Let many weights share few values, which are trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.clusters import clusters
from tutelage.compression.own_weights import own_weights
from tutelage.compression.settle import settle
from tutelage.errors import ModelError

__all__ = ["Codebook", "Share"]

_KINDS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Embedding,
)


class Codebook(nn.Module):
    """A weight by codes: each number is one of a layer's centroids, or exactly 0 at code 0.

    What is trained are the centroids: the gradient of one is the sum over the weights that share it.

    Args:
        codes: the weight's shape, whole numbers; 0 for zero, 1 and up for a centroid.
        count: how many centroids.

    Example:
        >>> layer = nn.Linear(2, 2, bias=False)
        >>> book = Codebook(torch.tensor([[0, 1], [2, 1]]), 2)
        >>> _ = parametrize.register_parametrization(layer, "weight", book, unsafe=True)
        >>> layer.parametrizations.weight.original.data = torch.tensor([0.5, -1.0])
        >>> layer.weight.tolist()
        [[0.0, 0.5], [-1.0, 0.5]]
    """

    codes: Tensor

    def __init__(self, codes: Tensor, count: int) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("codes", codes.to(torch.uint8 if count < 256 else torch.int32))

    def forward(self, centroids: Tensor) -> Tensor:
        """The weight."""
        table = torch.cat([centroids.new_zeros(1), centroids])
        return table.index_select(0, self.codes.flatten().long()).view(self.codes.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The centroids that are nearest to a weight with these codes: the mean of what shares each."""
        codes = self.codes.flatten().long()
        sums = torch.zeros(self.count + 1, dtype=torch.float64, device=weight.device)
        sums.index_add_(0, codes, weight.detach().flatten().double())
        sizes = torch.bincount(codes, minlength=self.count + 1).clamp(min=1)
        return (sums / sizes)[1:].to(weight.dtype)


class Share(Changer):
    """Weight sharing: the weights of each layer are sorted into few clusters and share its centroid.

    Each layer gets a codebook of its own by k-means in one dimension, begun with centroids that lie evenly
    between its least and largest weight. Exact zeros, as a mask leaves them, stay zeros and take no
    centroid. The centroids are trained by the stage that follows; on handing over they are plain weights
    with few values, which `tutelage export --format deep_compression` makes a small file of.

    It works on linear layers, convolutions and embeddings. Biases and normalisations stay as they are. A
    weight that two layers hold is left alone, and named in what was done.

    Args:
        bits: of a code, so that a layer has at most 2 to the bits centroids, 1 to 12; or layer → bits, and
            other layers are left alone.

    Raises:
        ValueError: bits out of range.
        ModelError: no layer to change, or weights that are not finite, when it is called.

    Source: Han et al. 2016, "Deep Compression", section 3. Differences: a cluster that ends up empty is
        dropped; zero costs no centroid, and its place no bits, since the file knows where zeros are.

    Example:
        >>> network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        >>> done = Share(bits=2).change(network).done
        >>> len(network[0].weight.unique()), done["codes"]["0"]
        (4, 4)
    """

    settles = True

    def __init__(self, *, bits: int | Mapping[str, int] = 5) -> None:
        for one in bits.values() if isinstance(bits, Mapping) else (bits,):
            if isinstance(one, bool) or not isinstance(one, int) or not 1 <= one <= 12:
                raise ValueError(f"bits came as {one!r}; a whole number of 1 to 12 is expected")
        self.bits = dict(bits) if isinstance(bits, Mapping) else bits

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:  # noqa: ARG002
        """Share in place; the number of centroids of each layer, and what was left alone."""
        named: Sequence[str] | None = list(self.bits) if isinstance(self.bits, dict) else None
        own, left = own_weights(network, _KINDS, named, name="share")
        counts = {}
        for path, layer in own.items():
            settle(layer)
            bits = self.bits[path] if isinstance(self.bits, dict) else self.bits
            codes, count = _coded(layer.weight, 2**bits, path)
            if count == 0:
                left[path] = "all of its weights are 0"
                continue
            _register(layer, Codebook(codes, count))
            counts[path] = count
        if not counts:
            raise ModelError(
                f"share can change no layer of {type(network).__name__}: "
                + "; ".join(f"{path}: {why}" for path, why in left.items())
            )
        return Changed(network, {"codes": counts, "left": left})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        """Give a network that was built anew codebooks of the same sizes; weights are loaded later."""
        for path, count in done["codes"].items():
            layer = settle(network.get_submodule(path))
            weight = cast(Tensor, layer.weight)
            _register(layer, Codebook(torch.zeros_like(weight), count))
        return network


def _coded(weight: Any, most: int, path: str) -> tuple[Tensor, int]:
    """Codes of a weight, and how many centroids they name."""
    values = weight.detach().double()
    if not values.isfinite().all():
        raise ModelError(f"the weight of {path} is not finite, and cannot be shared; train it again")
    taken = values != 0
    if not taken.any():
        return torch.zeros_like(values), 0
    centroids = clusters(values[taken], most)
    edges = (centroids[1:] + centroids[:-1]) / 2
    return torch.where(taken, torch.bucketize(values, edges, right=True) + 1, 0), len(centroids)


def _register(layer: nn.Module, book: Codebook) -> None:
    # What is held has another shape than the weight, which torch's own check of a parametrisation refuses.
    parametrize.register_parametrization(layer, "weight", book, unsafe=True).train(layer.training)
