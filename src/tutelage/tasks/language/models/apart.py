"""Documents of packed rows, each by itself: for networks that mix neighbours by more than attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["Group", "apart", "together"]


@dataclass(frozen=True, slots=True)
class Group:
    """Some documents of like length.

    Args:
        rows, columns: where each of their tokens stands in the packed rows, shape [documents, longest]; what
            fills a document up stands where its last token does.
        there: true where there is a token and not filling, shape [documents, longest].
    """

    rows: Int[Tensor, "documents longest"]
    columns: Int[Tensor, "documents longest"]
    there: Tensor


def apart(documents: Int[Tensor, "n length"]) -> Iterator[Group]:
    """The documents of packed rows, in groups of which none is twice as long as another.

    Filling stands on the right, where nothing that reads from left to right sees it before the tokens that
    count; at most half of a group is filling.

    Args:
        documents: the number of each position's document, which stand side by side in a row.

    Example:
        >>> [group.columns.tolist() for group in apart(torch.tensor([[0, 0, 0, 1, 2]]))]
        [[[3], [4]], [[0, 1, 2]]]
    """
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = begins.flatten().nonzero().squeeze(1)
    sizes = torch.diff(starts, append=starts.new_tensor([documents.numel()]))
    kinds = (2 * sizes - 1).log2().floor()  # 1 | 2 | 3, 4 | 5 … 8 | …
    for kind in sorted(set(kinds.tolist())):
        chosen = kinds == kind
        first, size = starts[chosen].unsqueeze(1), sizes[chosen].unsqueeze(1)
        steps = torch.arange(int(size.max()), device=documents.device)
        places = first + torch.minimum(steps, size - 1)
        length = documents.shape[1]
        yield Group(places // length, places % length, steps < size)


def together(parts: list[tuple[Group, Tensor]], shape: tuple[int, int]) -> Tensor:
    """What was answered about groups, put back to where their tokens stand in the packed rows.

    Args:
        parts: each group with its answers, shape [documents, longest, width].
        shape: of the packed rows, (n, length).

    Shapes: -> [n, length, width], with gradient.
    """
    answers = torch.cat([answer[group.there] for group, answer in parts])
    rows = torch.cat([group.rows[group.there] for group, _ in parts])
    columns = torch.cat([group.columns[group.there] for group, _ in parts])
    order = (rows * shape[1] + columns).argsort()
    return answers[order].reshape(*shape, -1)
