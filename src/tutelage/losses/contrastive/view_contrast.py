"""Contrast within the batch between views of an example: what can be learnt without teacher and labels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.embeddings import check_ids, same_ids
from tutelage.losses.features import check_axes
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import directions, product
from tutelage.losses.reduction import blank, check_mask, masked_mean, widen
from tutelage.losses.softened import check_temperature

__all__ = ["ViewContrast"]


class ViewContrast(Loss):
    """View contrast (SimCSE, NT-Xent): find an example's other view among the rest of the batch.

    Two views of a sentence that differ in nothing but dropout are to be nearer than two sentences. It asks no
    teacher and no labels, so that it is what an encoder of sentences can learn alone. Items that share an id
    are views of one example.

    Args:
        temperature: τ, divides the cosines; above 0, without a unit.

    Shapes: student [items, channels], ids [items], mask [items] -> a scalar, the mean over unmasked items of
    minus the logarithm of the share that the item's other views have among all other items, in nats. Range 0
    to infinity. An example that came once is a view of itself, and told apart from the others alone.

    Raises:
        ValueError: the temperature is out of range, features are not vectors, ids are not whole numbers, or
            the mask does not fit.

    Source: Gao et al., SimCSE: Simple Contrastive Learning of Sentence Embeddings, 2021, equation 4, with
    τ 0.05. Differences: all other items of the batch are rivals, both views of a sentence in turn, as in Chen
    et al., SimCLR, 2020, equation 1, where SimCSE takes the second views alone; their layer on the embedding
    is left out.

    Example:
        >>> views = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> loss = ViewContrast(temperature=1.0)
        >>> print(f"{loss(views, torch.tensor([7, 7, 3, 3])).item():.4f}")  # -log(e / (e + 2))
        0.5514
    """

    place = "features"
    layouts = ("vectors",)
    compares_items = True

    def __init__(self, *, temperature: float = 0.05) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def forward(
        self,
        student: Float[Tensor, "items channels"],
        ids: Integer[Tensor, " items"],
        mask: Bool[Tensor, " items"] | None = None,
    ) -> Float[Tensor, ""]:
        """Contrast the views of each example with those of others."""
        check_axes(student, (2,), shape="vectors [items, channels]")
        check_ids(ids, len(student))
        check_mask(mask, student.shape[:1])
        (student,) = blank(mask, student)
        counts = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
        own = torch.eye(len(ids), dtype=torch.bool, device=ids.device)
        views = same_ids(ids, counts) & ~own
        views |= own & ~views.any(-1, keepdim=True)
        units = directions(widen(student))
        scores = product(units, units.mT) / self.temperature
        return masked_mean(_total(scores, (counts & ~own) | views) - _total(scores, views), mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}"


def _total(scores: Tensor, counted: Tensor) -> Tensor:
    return scores.masked_fill(~counted, -torch.inf).logsumexp(-1)
