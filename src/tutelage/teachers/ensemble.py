"""Several teachers that answer as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from tutelage.data import uniform
from tutelage.errors import UnknownName
from tutelage.teachers.members import as_members, checked_logits
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Ensemble"]

Mean = Literal["probabilities", "logits"]


class Ensemble(Teacher):
    """The weighted mean of several teachers' answers.

    Members answer one after the other into one running mean: 500 of them need the memory of two. Features of
    different networks have no mean, so an ensemble answers with logits alone.

    Args:
        teachers: the members; one may stand in several ensembles.
        weights: one positive number for each member, in any unit: their sum is made 1. None: all equal.
        mean: "probabilities" answers with the logarithm of the mean softmax, which is its own log-softmax;
            "logits" with the mean logits, a geometric mean of the softmaxes.
        temperature: of the softmaxes whose mean is taken; the logarithm is multiplied by it, so that a loss
            which softens the answer by the same temperature finds that mean.
        drop: members that are left out at each step of a training, other ones each time.
        seed: of the draw, which depends on it and the number of the step alone.

    Shapes:
        batch: as the members take it.
        returns: logits of the members' shape, at least float32.

    Raises:
        ValueError: no members, weights that do not fit them, a temperature that is not above 0, or no member
            left after the drop.
        UnknownName: a mean that does not exist.
        ModelError: members that disagree on the classes, when called.

    Source:
        Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 1, which
        names both the arithmetic and the geometric mean of the members' distributions. With `drop`, Son, Na,
        Choi and Hwang 2021, "Densely Guided Knowledge Distillation using Multiple Teacher Assistants"
        (DGKD), section 3.3: a teacher and its assistants at once, some left out at each step. Differences:
        the mean of those who are heard stands in place of the sum of their divergences, which at the loss's
        temperature has the same gradient, divided by how many are heard.

    Example:
        >>> from torch import nn
        >>> from tutelage.teachers import Frozen
        >>> teacher = Ensemble([Frozen(nn.Linear(4, 3)) for _ in range(3)], weights=[2, 1, 1])
        >>> outputs = teacher(Batch(inputs=torch.zeros(5, 4), ids=torch.arange(5)))
        >>> bool(torch.allclose(outputs.logits.exp().sum(-1), torch.ones(5)))
        True
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        *,
        weights: Sequence[float] | None = None,
        mean: Mean = "probabilities",
        temperature: float = 1.0,
        drop: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if mean not in ("probabilities", "logits"):
            raise UnknownName("mean", str(mean), ("probabilities", "logits"))
        if not temperature > 0:
            raise ValueError(f"temperature came as {temperature}; a number above 0 is expected")
        self.members = as_members(teachers)
        if not 0 <= drop < len(self.members):
            raise ValueError(
                f"drop came as {drop} for {len(self.members)} teachers; expected 0 to "
                f"{len(self.members) - 1}, so that one is left"
            )
        self.weights = _normalised(weights, len(teachers))
        self.mean, self.temperature, self.drop, self.seed = mean, temperature, drop, seed

    @property
    def keyed(self) -> bool:  # type: ignore[override]
        """Whether any member finds its answers by keys."""
        return any(cast(Teacher, member).keyed for member in self.members)

    @property
    def heard(self) -> list[int]:
        """The numbers of the members that answer at this step; all of them outside a training."""
        everybody = list(range(len(self.members)))
        if not self.drop or self.moment is None:
            return everybody
        draws = uniform(torch.tensor(everybody), seed=self.seed * 1_000_003 + self.moment.move, draw="drop")
        return sorted(draws.argsort()[self.drop :].tolist())

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        total: Tensor | None = None
        heard = self.heard
        whole = math.fsum(self.weights[number] for number in heard) if self.drop else 1.0
        for number in heard:
            weight = self.weights[number] / whole
            logits = checked_logits(cast(Outputs, self.members[number](batch)), number, total)
            if self.mean == "probabilities":
                share = (logits / self.temperature).log_softmax(-1) + math.log(weight)
                total = share if total is None else torch.logaddexp(total, share)
            else:
                total = logits * weight if total is None else total + logits * weight
        if self.mean == "probabilities" and total is not None:
            total = total * self.temperature
        return Outputs(total)


def _normalised(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    if weights is None:
        return (1 / count,) * count
    if len(weights) != count or not all(weight > 0 and math.isfinite(weight) for weight in weights):
        raise ValueError(
            f"the weights {list(weights)} came for {count} teachers. Expected one positive, finite number "
            "for each; leave a teacher out instead of weighing it 0."
        )
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
