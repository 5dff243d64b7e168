"""The greatest logits of an answer, and the mass of the rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.answers.forms.form import Columns, Form, narrow, said, width_of
from tutelage.errors import RecipeError
from tutelage.types import SparseLogits

__all__ = ["TopK"]


class TopK(Form):
    """The k most probable classes, and the probability of all others together at each temperature of use.

    What is left out at temperature 1 may be half of everything at temperature 2. With the mass of the tail, a
    loss at these temperatures has exact probabilities for the known classes and one number for the rest.

    Args:
        k: how many classes to keep.
        temperatures: at which the loss will be computed.
        tails: keep the mass of the rest; without it the known classes are made to sum to 1, which the student
            then learns, and one temperature alone can be served.

    Example:
        >>> form = TopK(1, temperatures=[1.0, 2.0])
        >>> columns = form.encode(torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([0]))
        >>> sparse = form.decode(columns, 3)
        >>> sparse.at(1.0)[1].exp()
        tensor([0.5000])
    """

    def __init__(self, k: int, *, temperatures: Sequence[float] = (1.0,), tails: bool = True) -> None:
        if k < 1:
            raise RecipeError(f"top-k with k = {k}; expected at least 1")
        if not temperatures or min(temperatures) <= 0:
            raise RecipeError(f"temperatures came as {list(temperatures)}; expected one above 0 at least")
        if not tails and len(set(temperatures)) > 1:
            raise RecipeError(
                f"top-k without tails serves one temperature, and {sorted(temperatures)} are to be used; "
                "keep the tails"
            )
        self.k, self.temperatures, self.tails = k, sorted(set(map(float, temperatures))), tails

    def encode(self, logits: Float[Tensor, "rows classes"], names: Int[Tensor, " rows"]) -> dict[str, Tensor]:  # noqa: ARG002
        """Keep the greatest, in falling order."""
        k = min(self.k, logits.shape[-1])
        best = logits.topk(k, -1)
        columns = {"classes": narrow(best.indices, logits.shape[-1])}
        if not self.tails:
            return columns | {"scores": (best.values / self.temperatures[0]).log_softmax(-1).half()}
        columns["scores"] = (best.values - logits.logsumexp(-1, keepdim=True)).half()
        tails = [_log_tail(logits, best, each) for each in self.temperatures]
        columns["tails"] = torch.stack(tails, -1)
        return columns

    def decode(self, columns: Columns, num_classes: int) -> SparseLogits:
        """Give the known classes, and the mass of the others."""
        classes, scores = columns["classes"].long(), columns["scores"].float()
        if not self.tails:
            return SparseLogits(classes, scores, num_classes, temperature=self.temperatures[0])
        tails = columns["tails"].unbind(-1)
        return SparseLogits(classes, scores, num_classes, dict(zip(self.temperatures, tails, strict=True)))

    def bytes_of_row(self, num_classes: int) -> float:
        """A class and a score for each, and a number for each temperature."""
        k = min(self.k, num_classes)
        return k * (width_of(num_classes) + 2) + (4 * len(self.temperatures) if self.tails else 0)

    def serves(self, temperature: float) -> bool:
        """The temperatures that it was made for."""
        return temperature in self.temperatures

    @property
    def text(self) -> str:
        """`topk:64@1,4`; without tails `topk:64:bare@1`."""
        at = ",".join(map(said, self.temperatures))
        return f"topk:{self.k}{'' if self.tails else ':bare'}@{at}"


def _log_tail(logits: Tensor, best: torch.return_types.topk, temperature: float) -> Tensor:
    """Log of the probability of what is not among the best; that of nothing is as good as none, −60."""
    rest = logits.scatter(-1, best.indices, -torch.inf) / temperature
    tail = rest.logsumexp(-1) - (logits / temperature).logsumexp(-1)
    return tail.clamp(min=-60.0)
