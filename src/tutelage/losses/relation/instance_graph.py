"""Examples as a graph, layer by layer: vertices, edges, and how they move between layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.layout import examples, positions, resize
from tutelage.losses.blocks import sum_by_blocks
from tutelage.losses.features import check_joined
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import distances, mean_distance, num_pairs, product
from tutelage.losses.reduction import blank, check_same_shape, masked_mean, widen

__all__ = ["InstanceGraph"]


class InstanceGraph(Loss):
    """Instance relationship graph (IRG): examples, distances between them, and their way between layers.

    In each layer the examples of a batch are the vertices of a graph, and their squared distances the edges.
    Edges exist in any width, so they are compared in all layers; vertices only in the last one, where both
    networks answer the same question. How far an example moves from layer to layer is compared as well.

    Give two layers or more, in order, the one that gives the logits last. With `vertex_weight` 0 the last
    may be any layer. Of a batch above 1,024 items it holds a block of rows at a time.

    Args:
        vertex_weight: multiplies the squared error between the vertices of the last layer.
        edge_weight: multiplies the squared error between the edges, averaged over all layers.
        transformation_weight: multiplies the squared error between how far examples move from one layer to
            the next, averaged over the layers before the last; below three layers there is no such move. Two
            layers of one network are brought to the smaller resolution and, channels averaged in groups of
            neighbours, to the smaller width.

    Shapes: student and teacher are tuples of features [items, ...], as many for both, mask [items] or, to
    blank positions, [items, length] -> a scalar: vertices are averaged over unmasked examples and elements,
    edges over ordered pairs of different unmasked examples, ways over unmasked examples. Edges and ways are
    in units of their mean over the batch. Range 0 to infinity; zero where all three agree.

    Raises:
        ValueError: a weight is negative or all are 0, below two layers, not as many for both, unequal
            shapes of the last ones, layers with no common shape to move between, or a mask that does not fit.

    Source: Liu et al., Knowledge Distillation via Instance Relationship Graph, 2019, section 3. Differences:
    means stand in place of sums, and edges and ways are divided by their mean over the batch, so that widths
    and weights do not depend on one another (the paper's weights do not carry over, all are 1 here); of the
    transformation, that of the vertices is compared and that of the edges is left out.

    Example:
        >>> student = torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [2.0]])
        >>> teacher = torch.tensor([[0.0], [7.0]]), torch.tensor([[1.0], [4.0]])
        >>> InstanceGraph()(student, teacher).item()  # one edge, 1 in units of its mean; (0² + 2²) / 2
        2.0
    """

    place = "features"
    layouts = ("vectors", "tokens", "maps")
    joins_layers: ClassVar[bool] = True
    by_example: ClassVar[bool] = True
    compares_items: ClassVar[bool] = True

    def __init__(
        self, *, vertex_weight: float = 1.0, edge_weight: float = 1.0, transformation_weight: float = 1.0
    ) -> None:
        super().__init__()
        weights = {
            "vertex_weight": vertex_weight,
            "edge_weight": edge_weight,
            "transformation_weight": transformation_weight,
        }
        for name, weight in weights.items():
            if not weight >= 0:
                raise ValueError(f"{name} came as {weight}; 0 or more is expected")
        if not any(weights.values()):
            raise ValueError("all weights came as 0; one above 0 is expected at least")
        self.vertex_weight, self.edge_weight = vertex_weight, edge_weight
        self.transformation_weight = transformation_weight

    def forward(
        self,
        student: Sequence[Float[Tensor, "items ..."]],
        teacher: Sequence[Float[Tensor, "items ..."]],
        mask: Bool[Tensor, "items ..."] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's graphs with the teacher's."""
        check_joined(student, teacher, least=2)
        ours = [widen(layer) for layer in blank(mask, *student)]
        theirs = [widen(layer.detach()) for layer in blank(mask, *teacher)]
        counts = examples(mask)
        if counts is None:
            counts = torch.ones(len(ours[0]), dtype=torch.bool, device=ours[0].device)
        total = ours[0].new_zeros(())
        if self.vertex_weight:
            total = total + self.vertex_weight * _vertices(ours[-1], theirs[-1], counts)
        if self.edge_weight:
            gaps = [_edges(*layers, counts) for layers in zip(ours, theirs, strict=True)]
            total = total + self.edge_weight * torch.stack(gaps).mean()
        if self.transformation_weight and len(ours) > 2:
            ways = zip(pairwise(ours[:-1]), pairwise(theirs[:-1]), strict=True)
            gaps = [_ways(*two, counts) for two in ways]
            total = total + self.transformation_weight * torch.stack(gaps).mean()
        return total

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return (
            f"vertex_weight={self.vertex_weight}, edge_weight={self.edge_weight}, "
            f"transformation_weight={self.transformation_weight}"
        )


def _vertices(student: Tensor, teacher: Tensor, counts: Tensor) -> Float[Tensor, ""]:
    advice = "name the layers that give the logits last, or pass vertex_weight=0"
    check_same_shape(student, teacher, advice=advice)
    return masked_mean((student - teacher).square(), counts)


def _edges(student: Tensor, teacher: Tensor, counts: Tensor) -> Float[Tensor, ""]:
    student, teacher, weights = student.flatten(1), teacher.flatten(1), counts.to(student.dtype)
    their_mean = mean_distance(teacher, counts, squared=True)

    def gaps(block: slice, rows: Tensor, mean: Tensor) -> Tensor:
        ours, theirs = (distances(held, block, squared=True) for held in (rows, teacher))
        values = (ours / mean - theirs / their_mean).square()
        return product(product(values, weights), weights[block])

    mean = mean_distance(student, counts, squared=True)
    return sum_by_blocks(gaps, student, mean, items=len(student)) / num_pairs(counts)


def _ways(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], counts: Tensor
) -> Float[Tensor, ""]:
    ours, theirs = (_way(*layers, counts) for layers in (student, teacher))
    return masked_mean((ours - theirs).square(), counts)


def _way(first: Tensor, second: Tensor, counts: Tensor) -> Float[Tensor, " items"]:
    """How far each example moves between two layers, squared, in units of the mean over the examples."""
    first, second = _alike(first, second)
    moved = (first - second).flatten(1).square().sum(-1)
    mean = masked_mean(moved, counts)
    return moved / mean.masked_fill(mean < torch.finfo(mean.dtype).smallest_normal ** 0.5, 1)


def _alike(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two layers of one network as [items, positions, channels] of one shape."""
    if first.ndim == second.ndim == 4:
        size = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
        first, second = resize(first, size), resize(second, size)
    shapes = list(first.shape), list(second.shape)
    first, second = positions(first), positions(second)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"two layers of one network came with shapes {shapes[0]} and {shapes[1]}; maps, or features "
            "of equal length, are expected to move between: name others, or pass transformation_weight=0"
        )
    width = min(first.shape[2], second.shape[2])
    first, second = (
        held if held.shape[2] == width else F.adaptive_avg_pool1d(held, width) for held in (first, second)
    )
    return first, second
