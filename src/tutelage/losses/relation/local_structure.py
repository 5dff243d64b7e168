"""How alike a node and its neighbours are: the local structure of a graph."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.blocks import sum_by_blocks
from tutelage.losses.features import check_axes, example_rows
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import LOWEST, distances, log_shares, other_items, product, row_kl
from tutelage.losses.reduction import masked_mean

__all__ = ["LocalStructure"]

_KERNELS = ("rbf", "linear", "polynomial")


class LocalStructure(Loss):
    """Local structure preserving (LSP): KL between each node's softmax of similarity to its neighbours.

    A graph network's knowledge lies in how it sets a node among its neighbours. A softmax over them is
    comparable between networks of any width.

    Edges are given once for a graph, or anew for each batch of a graph with `connect`. Without edges all
    other nodes of the batch are neighbours. The nearest ones would be more local, but which they are jumps
    as features move, and is undecided between equal distances. Along edges the cost is [edges, channels];
    without them, that of a block of rows of [nodes, nodes] above 1,024 nodes, and of all below.

    Args:
        edges: [2, edges], indices of nodes: an edge goes from a neighbour, in the first row, to the node that
            it belongs to, in the second. An edge between masked nodes is left out; one from a node to itself
            counts. None: all pairs of different nodes.
        kernel: how alike two nodes are: "rbf", exp(−‖x − y‖² / 2σ); "linear", x·y; "polynomial", (x·y + c)ᵈ.
        width: σ, of the "rbf" kernel, in the squared unit of the features.
        degree: d, of the "polynomial" kernel.
        offset: c, of the "polynomial" kernel.

    Shapes: student and teacher [nodes, channels], of any two widths, mask [nodes] -> a scalar, the mean over
    unmasked nodes of KL(student ‖ teacher) in nats. Range 0 to infinity; zero where the softmaxes are equal.
    A node without neighbours adds 0 and stays in the denominator.

    Raises:
        ValueError: the kernel is unknown, a number is out of range, edges are no [2, edges] of indices or
            name a node that is not there, the numbers of nodes differ, or the mask does not fit.

    Source: Yang et al., Distilling Knowledge from Graph Convolutional Networks, 2020, the section on the
    local structure preserving module, with their σ = 100, d = 2 and c = 0. Differences: their plain Euclidean
    similarity, and the union of two graphs that change, are left out; give the union as edges. Their code
    (DistillGCN.PyTorch) is not the paper's formula: the similarity is exp(−Σ|x − y| / 100), by the sum of
    absolute differences, not squared and not halved, and the divergence is KL(teacher ‖ student). As there,
    it is summed over the neighbours of a node, and averaged over all nodes.

    Example:
        >>> student = torch.tensor([[1.0], [0.0], [math.log(3)]])
        >>> teacher = torch.tensor([[1.0], [0.0], [0.0]])
        >>> loss = LocalStructure(edges=torch.tensor([[1, 2], [0, 0]]), kernel="linear")
        >>> print(f"{loss(student, teacher).item():.4f}")  # (1/4 ln 1/2 + 3/4 ln 3/2) / 3
        0.0436
    """

    place = "features"
    layouts = ("vectors",)
    compares_items: ClassVar[bool] = True
    edges: Tensor | None

    def __init__(
        self,
        *,
        edges: Integer[Tensor, "2 edges"] | None = None,
        kernel: Literal["rbf", "linear", "polynomial"] = "rbf",
        width: float = 100.0,
        degree: int = 2,
        offset: float = 0.0,
    ) -> None:
        super().__init__()
        if kernel not in _KERNELS:
            raise ValueError(f"kernel came as {kernel!r}; one of {list(_KERNELS)} is expected")
        if not 0 < width < math.inf:
            raise ValueError(f"width came as {width}; a finite number above 0 is expected")
        if degree < 1:
            raise ValueError(f"degree came as {degree}; 1 or more is expected")
        self.kernel, self.width, self.degree, self.offset = kernel, width, degree, offset
        self.register_buffer("edges", None, persistent=False)
        self.connect(edges)

    def connect(self, edges: Integer[Tensor, "2 edges"] | None) -> None:
        """Take these edges from now on; None for all pairs."""
        if edges is not None:
            _check_edges(edges)
        self.edges = edges
        self._num_named = 0 if edges is None or not edges.numel() else int(edges.max()) + 1

    def forward(
        self,
        student: Float[Tensor, "nodes ..."],
        teacher: Float[Tensor, "nodes ..."],
        mask: Bool[Tensor, "nodes ..."] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare how the student sets nodes among their neighbours with how the teacher does."""
        for feature in (student, teacher):
            check_axes(feature, (2,), shape="[nodes, channels]")
        student, teacher, counts = example_rows(student, teacher, mask)
        if self.edges is not None:
            return masked_mean(
                self._along_edges(self.edges.to(student.device), student, teacher, counts), counts
            )

        def gaps(block: slice, nodes: Tensor) -> Tensor:
            pairs = other_items(counts, block)
            ours, theirs = (log_shares(self._to_all(held, block), pairs) for held in (nodes, teacher))
            return torch.where(counts[block], row_kl(ours, theirs), 0).sum()

        return sum_by_blocks(gaps, student, items=len(student)) / counts.sum().clamp(min=1)

    def _to_all(self, nodes: Float[Tensor, "nodes channels"], block: slice) -> Float[Tensor, "some nodes"]:
        if self.kernel == "rbf":
            return distances(nodes, block, squared=True).mul(-1 / (2 * self.width)).exp()
        return self._of_products(product(nodes[block], nodes.mT))

    def _along_edges(
        self, edges: Tensor, student: Tensor, teacher: Tensor, counts: Tensor
    ) -> Float[Tensor, " nodes"]:
        if len(counts) < self._num_named:
            raise ValueError(
                f"{len(counts)} nodes came, and edges name the node {self._num_named - 1}; edges must lie "
                "between nodes of the batch: pass its own to connect"
            )
        source, node = edges
        kept = counts[source] & counts[node]
        ours, theirs = (
            _edge_log_shares(self._between_ends(nodes[source], nodes[node]), node, kept, len(counts))
            for nodes in (student, teacher)
        )
        gaps = torch.where(kept, ours.exp() * (ours - theirs), 0)
        return gaps.new_zeros(len(counts)).index_add(0, node, gaps)

    def _between_ends(self, neighbours: Tensor, nodes: Tensor) -> Float[Tensor, " edges"]:
        if self.kernel == "rbf":
            return (neighbours - nodes).square().sum(-1).mul(-1 / (2 * self.width)).exp()
        return self._of_products((neighbours * nodes).sum(-1))

    def _of_products(self, products: Tensor) -> Tensor:
        return products if self.kernel == "linear" else (products + self.offset) ** self.degree

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        number = None if self.edges is None else self.edges.shape[1]
        own = {
            "rbf": f", width={self.width}",
            "linear": "",
            "polynomial": f", degree={self.degree}, offset={self.offset}",
        }
        return f"edges={number}, kernel={self.kernel!r}{own[self.kernel]}"


def _edge_log_shares(scores: Tensor, node: Tensor, kept: Tensor, num_nodes: int) -> Float[Tensor, " edges"]:
    """Log-softmax of the scores over the edges of each node; those not kept have no part in it."""
    scores = scores.masked_fill(~kept, LOWEST)
    highest = scores.new_full((num_nodes,), LOWEST).scatter_reduce(0, node, scores.detach(), "amax")
    shifted = scores - highest[node]
    totals = scores.new_zeros(num_nodes).index_add(0, node, torch.where(kept, shifted.exp(), 0))
    return shifted - totals.masked_fill(totals == 0, 1).log()[node]


def _check_edges(edges: Tensor) -> None:
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise ValueError(
            f"edges came with shape {list(edges.shape)}; [2, edges] is expected, neighbours above nodes: "
            "pass edges.T if they came as [edges, 2]"
        )
    if edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool:
        raise ValueError(f"edges came as {edges.dtype}; indices of nodes are expected: pass edges.long()")
    if edges.numel() and int(edges.min()) < 0:
        raise ValueError(f"edges came with the index {int(edges.min())}; indices must be 0 or more")
