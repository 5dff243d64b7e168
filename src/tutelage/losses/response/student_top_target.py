"""Soft targets on the classes that the student itself finds likely."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.losses.divergences import reverse_kl
from tutelage.losses.softened import Softened

__all__ = ["StudentTopTarget"]


class StudentTopTarget(Softened):
    """Student's top k (reverse KL on its likeliest classes): what the student says, judged by the teacher.

    The classes that the student finds likeliest are compared one by one, and all others as one, whose
    probability is the exact rest of both: nothing is renormalised, so that a student which the teacher
    contradicts beyond its k is told.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        k: how many classes are compared one by one; all, where there are fewer.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of T² · KL(student ‖ teacher) in nats over k
    classes and the rest. Range 0 to the whole reverse KL; zero where both softmaxes are equal.

    Raises:
        ValueError: the temperature, k or the chunk size is out of range, shapes differ, or the mask does not
            fit.

    Source: Gu et al., MiniLLM: Knowledge Distillation of Large Language Models, 2024, equation 1, for one
    item. Differences: the student's likeliest classes and the rest as one, by the chain rule of the KL a
    lower bound of the whole; a temperature, and its square.

    Example:
        >>> student, teacher = torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([[0.2, 0.2, 0.6]]).log()
        >>> loss = StudentTopTarget(temperature=1.0, k=1)  # compares (.5, .5) with (.2, .8)
        >>> print(f"{loss(student, teacher).item():.4f}")
        0.2231
    """

    def __init__(self, *, temperature: float = 1.0, k: int = 32, chunk_size: int | None = None) -> None:
        super().__init__(temperature=temperature, chunk_size=chunk_size)
        if k < 1:
            raise ValueError(f"k came as {k}; at least 1 is expected")
        self.k = k

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The reverse KL over the student's likeliest classes and the rest."""
        if self.k >= student.shape[-1] - 1:
            return reverse_kl(student, teacher)
        places = student.detach().topk(self.k, dim=-1).indices
        return reverse_kl(_with_rest(student, places), _with_rest(teacher, places))

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"{super().extra_repr()}, k={self.k}"


def _with_rest(log_probs: Tensor, places: Tensor) -> Tensor:
    """Log-probabilities at some places, and of all others together."""
    others = log_probs.scatter(-1, places, -torch.inf)
    none = torch.isneginf(others).all(-1, keepdim=True)
    rest = others.masked_fill(none, 0).logsumexp(-1, keepdim=True).masked_fill(none, -torch.inf)
    return torch.cat([log_probs.gather(-1, places), rest], -1)
