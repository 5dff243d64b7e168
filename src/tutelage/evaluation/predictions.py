"""The answers of a network to a whole set."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.errors import DataError
from tutelage.evaluation.scores import Scores
from tutelage.types import UNLABELLED

__all__ = ["Predictions", "check_labels"]


class Predictions:
    """The answers to a set of items (examples, or positions of them), on the CPU.

    Args:
        logits: raw scores, of all items or of those that `sampled` names.
        labels: class indices; `UNLABELLED` where there is none.
        ids: the stable number of each item.
        scores: what each answer comes to; by default read from the logits, which then are those of all items.
        sampled: which items the logits are of, by their place in `ids`; all by default.

    Shapes: logits [m, C]; labels, ids and each of the scores [n]; sampled [m].

    Raises:
        DataError: shapes that do not fit together, or a label outside 0 … C−1.
    """

    def __init__(
        self,
        logits: Float[Tensor, "m c"],
        labels: Int[Tensor, " n"],
        ids: Int[Tensor, " n"],
        *,
        scores: Scores | None = None,
        sampled: Int[Tensor, " m"] | None = None,
    ) -> None:
        _check_shapes(logits, labels, ids, sampled)
        self.logits, self.labels, self.ids = logits, labels, ids
        check_labels(labels, self.num_classes)
        self.scores = Scores.of(logits, labels) if scores is None else scores
        self.sampled = torch.arange(len(ids)) if sampled is None else sampled

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        """C, the width of the logits."""
        return self.logits.shape[1]

    @property
    def log_probs(self) -> Float[Tensor, "m c"]:
        """Log-softmax of the logits that are held, at temperature 1, in nats, float64."""
        return self.logits.double().log_softmax(-1)

    @property
    def probs(self) -> Float[Tensor, "m c"]:
        """Softmax of the logits that are held, at temperature 1, float64."""
        return self.logits.double().softmax(-1)

    @property
    def classes(self) -> Int[Tensor, " n"]:
        """The class with the greatest logit; the lowest index of equals."""
        return self.scores.classes

    @property
    def labelled(self) -> Predictions:
        """Only the items with a label.

        Raises:
            DataError: none of them has one.
        """
        keep = self.labels != UNLABELLED
        if not keep.any():
            raise DataError(f"none of the {len(self)} examples has a label, so nothing can be right or wrong")
        return self if keep.all() else self.take(keep.nonzero().squeeze(-1))

    @property
    def sample(self) -> Predictions:
        """Only the items whose logits are held."""
        return self.take(self.sampled)

    def take(self, places: Int[Tensor, " k"]) -> Predictions:
        """The items at these places, in this order."""
        row = torch.full((len(self),), -1)
        row[self.sampled] = torch.arange(len(self.sampled))
        rows = row[places]
        held = rows >= 0
        return Predictions(
            self.logits[rows[held]],
            self.labels[places],
            self.ids[places],
            scores=self.scores.take(places),
            sampled=held.nonzero().squeeze(-1),
        )


def _check_shapes(logits: Tensor, labels: Tensor, ids: Tensor, sampled: Tensor | None) -> None:
    rows = ids if sampled is None else sampled
    if logits.ndim != 2 or ids.ndim != 1 or len(logits) != len(rows) or labels.shape != ids.shape:
        raise DataError(
            f"predictions need logits [N, C], labels [N] and ids [N]; got {list(logits.shape)}, "
            f"{list(labels.shape)} and {list(ids.shape)}"
        )


def check_labels(labels: Int[Tensor, " n"], num_classes: int) -> None:
    """Refuse labels that a network of so many classes cannot answer."""
    labelled = labels[labels != UNLABELLED]
    if len(labelled) and not 0 <= int(labelled.min()) <= int(labelled.max()) < num_classes:
        raise DataError(
            f"labels run from {int(labelled.min())} to {int(labelled.max())}, but the network answers "
            f"with {num_classes} classes (0 … {num_classes - 1}); number the labels from 0, or "
            "widen the network"
        )
