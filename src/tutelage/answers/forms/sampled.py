"""A fair sample of the classes of an answer."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.answers.forms.form import Columns, Form, said
from tutelage.data.random import uniform
from tutelage.errors import RecipeError
from tutelage.types import SparseLogits

__all__ = ["Sampled"]


class Sampled(Form):
    """An unbiased sample: classes drawn in proportion to the teacher's probability (RS-KD).

    The greatest classes alone teach a student to be too sure. A draw from the whole vocabulary is right on
    average, rare classes among it, and so is the gradient of the student's loss. Draws of one class are
    merged. Of a class the distance from the one before in the row is kept, each byte of it in a column of its
    own (`gap0` the lowest): most high bytes are small, so that compression takes more than half away.

    Args:
        draws: how many.
        temperature: of the loss that will be computed.
        seed: another one gives other draws.

    Source: Anshumann et al., Sparse Logit Sampling, 2025, section 4 (Random Sampling Knowledge Distillation).
    Differences: the draws are systematic, one random offset and even steps through the cumulated
    probabilities, so that a class of probability p is met ⌊np⌋ or ⌈np⌉ times; the mean is the same, the
    variance smaller. Classes are drawn from the teacher's own distribution, without a flattened proposal.

    Example:
        >>> form = Sampled(4)
        >>> columns = form.encode(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([7]))
        >>> sparse = form.decode(columns, 3)
        >>> sparse.classes.tolist(), sparse.scores.exp().tolist()
        ([[0, 1, 2]], [[0.5, 0.25, 0.25]])
    """

    ragged = frozenset({"gap0", "gap1", "gap2", "gap3", "counts"})

    def __init__(self, draws: int, *, temperature: float = 1.0, seed: int = 0) -> None:
        if not 1 <= draws <= 255:
            raise RecipeError(f"draws came as {draws}; expected 1 to 255, since a count takes one byte")
        if temperature <= 0:
            raise RecipeError(f"temperature came as {temperature}; expected a number above 0")
        self.draws, self.temperature, self.seed = draws, float(temperature), seed

    def encode(self, logits: Float[Tensor, "rows classes"], names: Int[Tensor, " rows"]) -> dict[str, Tensor]:
        """Draw, and merge."""
        if not len(logits):
            empty = torch.empty(0, dtype=torch.uint8)
            return _gaps(empty.long(), empty.bool(), logits.shape[-1]) | {"counts": empty, "known": empty}
        reach = (logits.double() / self.temperature).softmax(-1).cumsum(-1)
        start = uniform(names, seed=self.seed, draw="answer").unsqueeze(-1)
        points = (torch.arange(self.draws, dtype=torch.float64) + start) / self.draws * reach[:, -1:]
        drawn = torch.searchsorted(reach, points, right=True).clamp_(
            max=logits.shape[-1] - 1
        )  # rises along a row
        new = torch.ones_like(drawn, dtype=torch.bool)
        new[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
        first = new.flatten().nonzero().squeeze(-1)
        counts = torch.diff(first, append=torch.tensor([drawn.numel()]))
        known = new.sum(-1)
        begins = torch.zeros(len(first), dtype=torch.bool)
        begins[known.cumsum(0) - known] = True
        gaps = _gaps(drawn.flatten()[first], begins, logits.shape[-1])
        return gaps | {"counts": counts.to(torch.uint8), "known": known.to(torch.uint8)}

    def decode(self, columns: Columns, num_classes: int) -> SparseLogits:
        """Give the drawn classes and the log of their shares."""
        known = columns["known"].long()
        there = torch.arange(int(known.max()) if len(known) else 0) < known.unsqueeze(-1)
        classes = torch.zeros(there.shape, dtype=torch.int64)
        scores = torch.full(there.shape, -torch.inf)
        classes[there] = sum(columns[f"gap{byte}"].long() << 8 * byte for byte in range(_width(num_classes)))
        classes = classes.cumsum(-1).masked_fill_(~there, 0)
        scores[there] = (columns["counts"].float() / self.draws).log()
        return SparseLogits(classes, scores, num_classes, temperature=self.temperature)

    def bytes_of_row(self, num_classes: int) -> float:
        """A class and a count for each draw, if no two are alike."""
        return self.draws * (_width(num_classes) + 1) + 1

    def serves(self, temperature: float) -> bool:
        """The temperature that it was drawn at."""
        return temperature == self.temperature

    @property
    def text(self) -> str:
        """`sampled:12@1`."""
        return f"sampled:{self.draws}@{said(self.temperature)}"


def _width(num_classes: int) -> int:
    """Bytes that the distance between two classes takes at most."""
    return max(1, -(-(num_classes - 1).bit_length() // 8))


def _gaps(
    classes: Int[Tensor, " entries"], begins: Bool[Tensor, " entries"], num_classes: int
) -> dict[str, Tensor]:
    """The bytes of each class's distance from the one before it in its row; the first counts from 0."""
    before = torch.where(begins, 0, classes.roll(1))
    gaps = classes - before
    return {f"gap{byte}": (gaps >> 8 * byte).to(torch.uint8) for byte in range(_width(num_classes))}
