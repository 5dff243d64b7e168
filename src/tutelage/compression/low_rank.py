"""One layer as two thinner ones: along which directions, with what error, and how they are built."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["KINDS", "Spectrum", "TwoLayers", "in_two", "matrix_of", "paying", "whole_cost"]

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)


class TwoLayers(nn.Sequential):
    """A layer of low rank: the first goes to rank channels, the second to the layer's own.

    Its file of weights is that of a plain `nn.Sequential` of the two. Code that reads the `weight` of the
    layer, as attention and the heads of some language models do, gets the product of both.

    Args:
        first: without bias.
        second: with the layer's bias.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__(first, second)

    @property
    def weight(self) -> Tensor:
        """The product, in the shape of the layer that it stands for."""
        first, second = (cast(Tensor, part.weight) for part in self)
        if isinstance(self[0], nn.Embedding):
            return first @ second.T
        product = second.flatten(1) @ first.flatten(1)
        return product.view(len(second), *first.shape[1:])

    @property
    def bias(self) -> Tensor | None:
        """The layer's bias."""
        return cast("Tensor | None", getattr(self[1], "bias", None))


class Spectrum:
    """The directions of what a layer answers, the one that holds most first.

    Args:
        layer: a linear layer, a convolution or an embedding.
        answers: the second moment of what it answers without its bias, [out, out]; or
        inputs: that of its inputs, [in, in]; neither for the weight alone, as if inputs were white.

    Attributes:
        directions: [out, rank], orthonormal.
        energies: [rank], what each holds of the mean square of the answer.
    """

    def __init__(
        self, layer: nn.Module, *, answers: Tensor | None = None, inputs: Tensor | None = None
    ) -> None:
        if answers is not None:
            energies, directions = torch.linalg.eigh(answers.double())
            self.directions, self.energies = directions.flip(1), energies.flip(0).clamp(min=0)
            return
        matrix = matrix_of(layer)
        if inputs is not None:
            values, vectors = torch.linalg.eigh(inputs.double())
            matrix = matrix @ (vectors * values.clamp(min=0).sqrt())
        self.directions, values, _ = torch.linalg.svd(matrix, full_matrices=False)
        self.energies = values.square()


def matrix_of(layer: nn.Module) -> Tensor:
    """A layer's weight as a matrix from inputs to answers, [out, in], in double precision."""
    weight = cast(Tensor, layer.weight).detach().double()
    return weight.T if isinstance(layer, nn.Embedding) else weight.flatten(1)


def whole_cost(layer: nn.Module) -> tuple[int, int]:
    """Weights of a layer, and those of two layers for each rank."""
    out, inner = matrix_of(layer).shape
    return out * inner, out + inner


def paying(layer: nn.Module) -> int:
    """The largest rank with which two layers hold fewer weights than the one; 0 where there is none."""
    whole, each = whole_cost(layer)
    return int(min((whole - 1) // each, *matrix_of(layer).shape))


def in_two(layer: nn.Module, rank: int, directions: Tensor | None = None) -> TwoLayers:
    """A layer's answer projected on some directions, as two layers whose weights are of one size.

    Args:
        layer: a linear layer, a convolution without groups, or an embedding.
        rank: how many directions.
        directions: [out, rank or more], orthonormal; None leaves the weights at 0, to be loaded.
    """
    matrix = matrix_of(layer)
    if directions is None:
        first, second = matrix.new_zeros(rank, matrix.shape[1]), matrix.new_zeros(len(matrix), rank)
    else:
        second = directions[:, :rank]
        first = second.T @ matrix
        root = first.norm(dim=1).sqrt()
        second = second * root
        first = first / torch.where(root > 0, root, 1.0)[:, None]
    two = _builder(layer)(layer, rank)
    with torch.no_grad():
        for part, value in ((two[0], first), (two[1], second)):
            weight = cast(Tensor, part.weight)
            value = value.T if isinstance(part, nn.Embedding) else value
            weight.copy_(value.reshape(weight.shape))
        if two.bias is not None:
            two.bias.copy_(cast(Tensor, layer.bias))
    learns = cast(Tensor, layer.weight).requires_grad
    for part in two:
        cast(Tensor, part.weight).requires_grad_(learns)
    if two.bias is not None:
        two.bias.requires_grad_(cast(Tensor, layer.bias).requires_grad)
    return two.train(layer.training)


def _builder(layer: nn.Module) -> Callable[[nn.Module, int], TwoLayers]:
    if isinstance(layer, nn.Linear):
        return _linear
    return _embedding if isinstance(layer, nn.Embedding) else _convolution


def _linear(layer: nn.Module, rank: int) -> TwoLayers:
    assert isinstance(layer, nn.Linear)
    how = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    first = _empty(nn.Linear, layer.in_features, rank, bias=False, **how)
    return TwoLayers(first, _empty(nn.Linear, rank, layer.out_features, bias=layer.bias is not None, **how))


def _embedding(layer: nn.Module, rank: int) -> TwoLayers:
    assert isinstance(layer, nn.Embedding)
    how = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    first = _empty(nn.Embedding, layer.num_embeddings, rank, padding_idx=layer.padding_idx, **how)
    return TwoLayers(first, _empty(nn.Linear, rank, layer.embedding_dim, bias=False, **how))


def _convolution(layer: nn.Module, rank: int) -> TwoLayers:
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    kind = type(layer)
    how = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    window = {key: getattr(layer, key) for key in ("stride", "padding", "dilation", "padding_mode")}
    first = _empty(kind, layer.in_channels, rank, layer.kernel_size, bias=False, **window, **how)
    return TwoLayers(first, _empty(kind, rank, layer.out_channels, 1, bias=layer.bias is not None, **how))


def _empty(kind: type[nn.Module], *args: object, **options: object) -> nn.Module:
    """A layer whose weights are to be written; torch's generator is not touched."""
    layer: nn.Module = nn.utils.skip_init(kind, *args, **options)  # type: ignore[no-untyped-call]
    return layer
