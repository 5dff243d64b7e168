"""Embeddings that are to say of two texts how alike they are, as another encoder says it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.data import Source, uniform
from tutelage.errors import DataError, ModelError, RecipeError
from tutelage.match import Match
from tutelage.tasks.exam import Exam
from tutelage.tasks.text.correlation import correlations
from tutelage.types import Batch, Outputs

__all__ = ["Embedded", "SimilarityExam", "draw_pairs"]

_NEAREST = 10  # neighbours that a near partner is drawn from
_PARTNERS = 2  # of each text, of each kind
_ROWS = 1024


@dataclass(frozen=True)
class Embedded:
    """Embeddings of texts by two encoders, and the pairs of texts on which they are compared.

    Args:
        own: the embeddings that are examined.
        others: those that they are to agree with, of the same texts.
        ids: of the texts.
        pairs: ids of two texts each.
        near: which pairs are of neighbours.
    """

    own: Float[Tensor, "n width"]
    others: Float[Tensor, "n other_width"]
    ids: Int[Tensor, " n"]
    pairs: Int[Tensor, "p 2"]
    near: Bool[Tensor, " p"]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Int[Tensor, " m"]) -> Embedded:
        """The texts at these places, and the pairs of which both texts are among them."""
        ids = self.ids[places]
        kept = torch.isin(self.pairs, ids).all(-1)
        return Embedded(self.own[places], self.others[places], ids, self.pairs[kept], self.near[kept])

    def similarities(self) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
        """The cosine of each pair, by the embeddings that are examined and by the others."""
        order = self.ids.argsort()
        at = order[torch.searchsorted(self.ids[order], self.pairs)]
        ours, theirs = (
            F.cosine_similarity(held[at[:, 0]], held[at[:, 1]], dim=-1) for held in (self.own, self.others)
        )
        return ours, theirs


class SimilarityExam(Exam):
    """How alike texts are, measured by Spearman's rank correlation of cosines with another encoder's.

    The labels of a batch are the other encoder's embeddings. Pairs of texts are those of the data, or drawn
    by `draw_pairs`.

    Args:
        paired: whether the texts with the ids 2k and 2k + 1 are a pair of the data.
        seed: of the pairs that are drawn.
    """

    metric = "spearman"
    higher_is_better = True

    def __init__(self, *, paired: bool = False, seed: int = 0) -> None:
        self.paired, self.seed = paired, seed

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Embedded:
        """Embeddings of all texts, beside the other encoder's."""
        with torch.inference_mode():
            parts = [_part(answer(batch), batch) for batch in (b.to(device) for b in batches)]
        own, others, ids = (torch.cat(held) for held in zip(*parts, strict=True))
        broken = int((~own.isfinite()).any(-1).sum())
        if broken:
            raise ModelError(
                f"the embeddings of {broken} of {len(own)} texts are NaN or infinite; check the weights"
            )
        if self.paired:
            first = ids[ids % 2 == 0].sort().values
            pairs = torch.stack([first, first + 1], -1)
            return Embedded(own, others, ids, pairs, torch.zeros(len(pairs), dtype=torch.bool))
        return Embedded(own, others, ids, *draw_pairs(others, ids, seed=self.seed))

    def measure(self, answers: Embedded) -> dict[str, float]:
        """Spearman's and Pearson's correlation; by kind of pair; the mean cosine of both embeddings."""
        if len(answers.pairs) < 2:
            raise DataError(f"{len(answers.pairs)} pairs of texts came; a correlation needs at least two")
        ours, theirs = answers.similarities()
        found = correlations(ours, theirs)
        for kind, held in (("near", answers.near), ("random", ~answers.near)):
            if not self.paired and int(held.sum()) > 1:
                found[f"spearman_{kind}"] = correlations(ours[held], theirs[held])["spearman"]
        if answers.own.shape == answers.others.shape:
            found["cosine"] = float(F.cosine_similarity(answers.own, answers.others, dim=-1).mean())
        return found

    def clusters(self, answers: Embedded, source: Source) -> Tensor:  # noqa: ARG002
        """The text, or the pair of the data that it is of."""
        return answers.ids // 2 if self.paired else answers.ids

    def alone(self) -> list[Match]:
        """Nothing: texts without labels teach no embeddings by themselves.

        Raises:
            RecipeError: always.
        """
        raise RecipeError(
            "texts have no labels that embeddings could be learnt from without a teacher; say what the "
            "control learns by (control.matches, such as contrastive.ViewContrast), or leave it out: "
            "control: false"
        )


def draw_pairs(
    embeddings: Float[Tensor, "n width"], ids: Int[Tensor, " n"], *, seed: int = 0
) -> tuple[Int[Tensor, "p 2"], Bool[Tensor, " p"]]:
    """Draw pairs whose similarity spreads: of each text two near partners, and two of all others.

    A near partner is drawn from the ten texts that are most like it by these embeddings. Draws depend on ids
    and the seed alone; a pair that came twice is there once.

    Args:
        embeddings: by which texts are near.
        ids: of the texts.
        seed: of the draws.

    Returns:
        the ids of each pair's texts, and which pairs are near.

    Raises:
        DataError: fewer than three texts.

    Example:
        >>> pairs, near = draw_pairs(torch.eye(30)[:20] + 0.1, torch.arange(20))
        >>> 40 < len(pairs) <= 80, bool((pairs[:, 0] < pairs[:, 1]).all()), bool(near.any())
        (True, True, True)
    """
    if len(ids) < 3:
        raise DataError(f"{len(ids)} texts came to draw pairs from; expected at least 3")
    order = ids.argsort()
    ids, units = ids[order], F.normalize(embeddings[order].float(), dim=-1)
    rows, count = torch.arange(len(ids)), min(_NEAREST, len(ids) - 1)
    neighbours = torch.cat([_nearest(units, block, count) for block in torch.split(rows, _ROWS)])
    found: dict[tuple[int, int], bool] = {}
    for number in range(_PARTNERS):
        drawn = (uniform(ids, seed=seed, draw=f"near {number}") * count).long()
        _add(found, ids, neighbours[rows, drawn], near=True)
    for number in range(_PARTNERS):
        drawn = 1 + (uniform(ids, seed=seed, draw=f"random {number}") * (len(ids) - 1)).long()
        _add(found, ids, (rows + drawn) % len(ids), near=False)
    return torch.tensor(list(found)), torch.tensor(list(found.values()))


def _nearest(units: Tensor, rows: Tensor, count: int) -> Tensor:
    cosines = units[rows] @ units.T
    cosines[torch.arange(len(rows)), rows] = -torch.inf
    return cosines.topk(count, -1).indices


def _add(found: dict[tuple[int, int], bool], ids: Tensor, partners: Tensor, *, near: bool) -> None:
    for one, other in zip(ids.tolist(), ids[partners].tolist(), strict=True):
        found.setdefault((min(one, other), max(one, other)), near)


def _part(outputs: Outputs, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    own, others = outputs.logits, batch.labels
    if own is None or own.ndim != 2 or len(own) != len(batch):
        came = "none" if own is None else list(own.shape)
        raise ModelError(f"embeddings [{len(batch)}, width] were expected, one for each text; got {came}")
    if others is None:
        raise DataError("these texts come without the embeddings of the task's encoder, to compare with")
    keep = torch.ones_like(batch.ids, dtype=torch.bool) if batch.mask is None else batch.mask
    return own[keep].float().cpu(), others[keep].float().cpu(), batch.ids[keep].long().cpu()
