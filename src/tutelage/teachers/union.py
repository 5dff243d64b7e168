"""Teachers of different classes that answer together about all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.teachers.members import as_teacher, checked_logits
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Union", "joined_scores", "unified"]

By = Literal["scores", "unified"]


class Union(Teacher):
    """Knowledge amalgamation (KA): teachers that know some classes each answer about the union of them.

    A teacher cannot say that an example is of none of its classes: all it knows is which of them is likelier
    than another. "scores" sets the logits of all beside each other, as if they had one scale. "unified"
    (unifying heterogeneous classifiers, UHC) asks for the one distribution that agrees best with what each
    says about its own classes; classes that two teachers share tie the others to one another.

    Args:
        teachers: each with logits over its own classes.
        classes: for each teacher the classes that it knows, in the order of its logits, as numbers from 0;
            together they leave out none.
        by: "scores" or "unified".
        temperature: T, divides the teachers' logits before they are unified; without a unit. The answer is
            multiplied by it again, so that a soft target at T sees what was found.
        rounds: of the fixed-point iteration of "unified".

    Shapes:
        batch: as the teachers take it.
        returns: logits [N, …, all classes], at least float32.

    Raises:
        ValueError: class lists that do not fit the teachers or leave out a class, a temperature or a number
            of rounds that is not above 0.
        UnknownName: another way to join.
        ModelError: a teacher with another number of logits than classes, when called.

    Source:
        Shen et al. 2019, "Amalgamating Knowledge towards Comprehensive Classification", for the scores of all
        beside each other (not their amalgamated features); Vongkulbhisal et al. 2019, "Unifying Heterogeneous
        Classifiers with Distillation", section 3, for the unified distribution by the cross-entropy between
        what each teacher says and the same restricted to its classes. Differences: a class that several know
        has the mean of their scores; the unified one is found by minorise-maximise rounds (Hunter 2004)
        instead of geometric programming. They start from the scores: where no class is shared, the criterion
        leaves open how much falls to each teacher, and the scores' share stays.

    Example:
        >>> from tutelage.teachers import Function
        >>> low = Function(lambda _: torch.tensor([[0.8, 0.2]]).log())  # knows 0 and 1
        >>> high = Function(lambda _: torch.tensor([[0.5, 0.5]]).log())  # knows 1 and 2
        >>> teacher = Union([low, high], [[0, 1], [1, 2]], by="unified")
        >>> teacher(Batch(inputs=None, ids=torch.arange(1))).logits.exp()  # 4 : 1 : 1
        tensor([[0.6667, 0.1667, 0.1667]])
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        classes: Sequence[Sequence[int]],
        *,
        by: By = "unified",
        temperature: float = 1.0,
        rounds: int = 100,
    ) -> None:
        super().__init__()
        if by not in get_args(By):
            raise UnknownName("way to join teachers", str(by), get_args(By))
        if not (temperature > 0 and rounds > 0):
            raise ValueError(
                f"temperature and rounds came as {temperature} and {rounds}; numbers above 0 are expected"
            )
        self.classes = _checked(classes, len(teachers))
        self.experts = nn.ModuleList([as_teacher(one) for one in teachers]).eval()
        self.by, self.temperature, self.rounds = by, temperature, rounds

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        said = []
        for number, (one, held) in enumerate(zip(self.experts, self.classes, strict=True)):
            logits = checked_logits(cast(Outputs, one(batch)), number, None)
            if logits.shape[-1] != len(held):
                raise ModelError(
                    f"teacher {number} of a union gave {logits.shape[-1]} logits, and is said to know the "
                    f"classes {held}; expected one logit for each of them, in this order"
                )
            said.append(logits)
        if self.by == "scores":
            return Outputs(joined_scores(said, self.classes))
        softened = [logits / self.temperature for logits in said]
        return Outputs(unified(softened, self.classes, rounds=self.rounds) * self.temperature)


def joined_scores(
    logits: Sequence[Float[Tensor, "*items some"]], classes: Sequence[Sequence[int]]
) -> Float[Tensor, "*items classes"]:
    """The logits of all teachers in one row; of a class that several know, their mean.

    Args:
        logits: of each teacher.
        classes: of each teacher.

    Example:
        >>> joined_scores([torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 3.0]])], [[0, 1], [1, 2]])
        tensor([[1., 3., 3.]])
    """
    total = _gathered(logits, classes)
    known = _gathered([torch.ones_like(one) for one in logits], classes)
    return total / known


def unified(
    logits: Sequence[Float[Tensor, "*items some"]], classes: Sequence[Sequence[int]], *, rounds: int = 100
) -> Float[Tensor, "*items classes"]:
    """Log-probabilities q with the least Σ CE(teacher, q among the teacher's classes).

    With p the teachers' probabilities and L their classes, the criterion is −Σᵢ Σ_{l in Lᵢ} pᵢ(l) · log (q(l)
    / Σ_{k in Lᵢ} q(k)), convex in log q. A round sets q(l) to Σᵢ pᵢ(l) over Σᵢ 1 / Σ_{k in Lᵢ} q(k), both
    sums over the teachers that know l, and the criterion never grows.

    Args:
        logits: of each teacher.
        classes: of each teacher.
        rounds: how many.
    """
    q = joined_scores(logits, classes).softmax(-1)
    wins = _gathered([one.softmax(-1) for one in logits], classes)
    tiny = torch.finfo(q.dtype).tiny
    knows = torch.stack([_gathered([q.new_ones(len(held))], [held], q.shape[-1]) for held in classes])
    for _ in range(rounds):
        q = wins / ((q @ knows.mT).clamp(min=tiny).reciprocal() @ knows)
        q = q / q.sum(-1, keepdim=True)
    return q.clamp(min=tiny).log()


def _gathered(parts: Sequence[Tensor], classes: Sequence[Sequence[int]], count: int | None = None) -> Tensor:
    """The sum over teachers of what each has for its classes."""
    total = parts[0].new_zeros(*parts[0].shape[:-1], count or 1 + max(map(max, classes)))
    for part, held in zip(parts, classes, strict=True):
        total.index_add_(-1, torch.tensor(held, device=part.device), part)
    return total


def _checked(classes: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    held = [list(some) for some in classes]
    known = {each for some in held for each in some}
    if len(held) != count or not all(len(set(some)) == len(some) > 0 for some in held):
        raise ValueError(
            f"{count} teachers came with the classes {held}; expected a list of different classes for each"
        )
    if known != set(range(max(known) + 1)):
        missing = sorted(set(range(max(known) + 1)) - known) or sorted(each for each in known if each < 0)
        raise ValueError(
            f"teachers of the classes {held} leave out or misname {missing}; together they must know every "
            "class from 0 up"
        )
    return held
