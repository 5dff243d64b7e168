"""What losses on softened answers share: the temperature, the mask, the chunks, the mean."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.heads.compare import compare_heads
from tutelage.losses.heads.fastest import fastest
from tutelage.losses.heads.liger import compare_with_liger, liger_can
from tutelage.losses.heads.sides import Logits
from tutelage.losses.heads.slopes import differentiate
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, in_chunks, masked_mean, spread, widen
from tutelage.types import HeadLogits, SparseLogits

__all__ = ["Softened", "beside_label", "check_chunk_size", "check_temperature", "soften"]


def soften(logits: Float[Tensor, "*items classes"], temperature: float) -> Float[Tensor, "*items classes"]:
    """Log-probabilities at a temperature, in float32 or wider."""
    return (widen(logits) / temperature).log_softmax(-1)


class Softened(Loss):
    """A divergence between softened answers, item by item; a subclass says which, and at which power of T.

    Student and teacher may each come as `HeadLogits`. Then logits are computed, compared and forgotten so
    many items at a time, whatever the chunk size.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once,
            and of `HeadLogits` for as many as fit into some tens of megabytes.

    Attributes:
        power: T to this power multiplies the mean, so that one weight serves at all temperatures.

    Raises:
        ValueError: the temperature or the chunk size is out of range.
    """

    place = "logits"
    reads_heads = True
    power: ClassVar[int] = 2

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Of another divergence what is known of this one holds no more, unless it says so itself."""
        super().__init_subclass__(**kwargs)
        if "divergence" in vars(cls):
            for name in ("slope", "from_few", "between"):
                setattr(cls, name, vars(cls).get(name, getattr(Softened, name)))
            cls.reads_sparse = cls.from_few is not Softened.from_few

    def __init__(self, *, temperature: float = 4.0, chunk_size: int | None = None) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        self.chunk_size = check_chunk_size(chunk_size)

    @abstractmethod
    def divergence(
        self, student: Float[Tensor, "rows classes"], teacher: Float[Tensor, "rows classes"]
    ) -> Float[Tensor, " rows"]:
        """A number for each row of log-probabilities."""

    def slope(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """The number of each row, and its gradient by the student's logits over T; may overwrite both.

        Here the divergence is differentiated by torch; a subclass may write its gradient out.
        """
        return differentiate(self.divergence, student, teacher)

    @property
    def between(self) -> float | None:
        """Where the divergence lies between the forward KL (0) and the reverse one (1).

        β in between is the generalised Jensen–Shannon divergence of skew β; None for any other divergence.
        What lies there may be computed by a kernel of Liger's (see `losses.heads.liger`).
        """
        return None

    def from_few(self, student: Tensor | HeadLogits, teacher: SparseLogits, mask: Tensor | None) -> Tensor:  # noqa: ARG002
        """The mean over unmasked items, from few classes of the teacher's; a subclass may know it.

        Raises:
            ValueError: this divergence needs all classes.
        """
        raise ValueError(
            f"{type(self).__name__} came with a teacher of whom few classes are known, and it needs all of "
            "them; losses that take few have `reads_sparse`: use response.SoftTarget, or whole logits"
        )

    def forward(
        self,
        student: Float[Tensor, "*items classes"] | HeadLogits,
        teacher: Float[Tensor, "*items classes"] | HeadLogits | SparseLogits,
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's softened answers with the teacher's."""
        if isinstance(teacher, SparseLogits):
            mean = self.from_few(student, teacher, mask)
        elif isinstance(student, HeadLogits) or isinstance(teacher, HeadLogits):
            mean = self._compare_heads(student, teacher, mask)
        else:
            mean = self._compare(student, teacher, mask)
        return mean * self.temperature**self.power

    def _compare_heads(self, student: Logits, teacher: Logits, mask: Tensor | None) -> Tensor:
        """The mean, of logits that nobody has computed yet."""
        slope, between, at, size = self.slope, self.between, self.temperature, self.chunk_size

        def chunks(head: Logits) -> Tensor:
            return compare_heads(head, teacher, slope, temperature=at, mask=mask, chunk_size=size)

        if (
            between is None
            or size is not None
            or not (isinstance(student, HeadLogits) and isinstance(teacher, HeadLogits))
            or not liger_can(student, teacher)
        ):
            return chunks(student)

        def liger(head: HeadLogits) -> Tensor:
            return compare_with_liger(head, teacher, between, temperature=at, mask=mask)

        return fastest({"chunks": chunks, "liger": liger}, student, of=type(self).__name__)(student)

    def _compare(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """The mean, of logits that are there."""
        check_logits(student, teacher)
        items = student.shape[:-1]
        check_mask(mask, items)
        rows = student.flatten(0, -2), teacher.detach().flatten(0, -2)
        row_mask = None if mask is None else spread(mask, items).flatten()
        values = in_chunks(self._compare_rows, *rows, row_mask, size=self.chunk_size)
        return masked_mean(values.reshape(items), mask)

    def _compare_rows(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        student, teacher = blank(mask, student, teacher)
        return self.divergence(soften(student, self.temperature), soften(teacher, self.temperature))

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        chunks = "" if self.chunk_size is None else f", chunk_size={self.chunk_size}"
        return f"temperature={self.temperature}{chunks}"


def beside_label(
    logits: Float[Tensor, "*items classes"], label: Integer[Tensor, "*items 1"]
) -> tuple[Float[Tensor, "*items 2"], Float[Tensor, "*items classes"]]:
    """Log-probabilities of (the label, all others), and of the others among themselves: −inf at the label.

    Where there are no others, because there is one class or all others are at −inf, both say so by −inf.

    Example:
        >>> two, others = beside_label(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0]]))
        >>> two.exp(), others.exp()
        (tensor([[0.5000, 0.5000]]), tensor([[0.0000, 0.5000, 0.5000]]))
    """
    others = logits.scatter(-1, label, -torch.inf)
    none = torch.isneginf(others).all(-1, keepdim=True)
    others = others.masked_fill(none, 0)  # so that no slope is one of nothing but −inf
    rest = others.logsumexp(-1, keepdim=True).masked_fill(none, -torch.inf)
    two = torch.cat([logits.gather(-1, label), rest], -1).log_softmax(-1)
    return two, others.log_softmax(-1).masked_fill(none, -torch.inf)


def check_temperature(temperature: float, name: str = "temperature") -> float:
    """Refuse what no softmax can be taken at."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"{name} came as {temperature}; a finite number above 0 is expected")
    return temperature


def check_chunk_size(chunk_size: int | None) -> int | None:
    """Refuse empty chunks."""
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size came as {chunk_size}; pass 1 or more, or None for no chunks")
    return chunk_size
