"""How far the student's distribution is from the teacher's: pure functions, one number for each item.

All take log-probabilities, the student first, and sum over the last axis. They compute in float32 or wider.
A class of probability 0 (log-probability −inf) adds 0 wherever it is the weight of a logarithm, and no NaN
to the value or the gradient. Nothing is detached: a loss decides whom it teaches.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from tutelage.losses.reduction import widen

__all__ = ["forward_kl", "jensen_shannon", "reverse_kl", "total_variation"]


def forward_kl(
    student_log_probs: Float[Tensor, "*items classes"], teacher_log_probs: Float[Tensor, "*items classes"]
) -> Float[Tensor, "*items"]:
    """Forward Kullback–Leibler divergence, KL(teacher ‖ student) = Σ p (log p − log q).

    The student must put probability wherever the teacher does: it covers all modes. It is not the
    cross-entropy −Σ p log q, which has the same gradient but is not zero for equal distributions.

    Args:
        student_log_probs: log q, natural logarithm.
        teacher_log_probs: log p, natural logarithm.

    Shapes: [..., classes] twice -> [...] in nats, summed over the classes. Range 0 to infinity; zero for
    equal distributions, infinite where the student has no probability and the teacher has some.

    Source: Kullback & Leibler, 1951, equation 2.4. No differences.

    Example:
        >>> teacher = torch.tensor([0.5, 0.5]).log()
        >>> forward_kl(torch.tensor([0.25, 0.75]).log(), teacher)
        tensor(0.1438)
    """
    return _weighted_gap(teacher_log_probs, student_log_probs).sum(-1)


def reverse_kl(
    student_log_probs: Float[Tensor, "*items classes"], teacher_log_probs: Float[Tensor, "*items classes"]
) -> Float[Tensor, "*items"]:
    """Reverse Kullback–Leibler divergence, KL(student ‖ teacher) = Σ q (log q − log p).

    The student must avoid whatever the teacher does: it settles on few modes, which suits a student too
    small to cover them all.

    Args:
        student_log_probs: log q, natural logarithm.
        teacher_log_probs: log p, natural logarithm.

    Shapes: [..., classes] twice -> [...] in nats, summed over the classes. Range 0 to infinity; zero for
    equal distributions, infinite where the teacher has no probability and the student has some.

    Source: Gu et al., MiniLLM, 2024, equation 1, for the distribution of one item. No differences.

    Example:
        >>> teacher = torch.tensor([0.5, 0.5]).log()
        >>> reverse_kl(torch.tensor([0.25, 0.75]).log(), teacher)
        tensor(0.1308)
    """
    return _weighted_gap(student_log_probs, teacher_log_probs).sum(-1)


def jensen_shannon(
    student_log_probs: Float[Tensor, "*items classes"],
    teacher_log_probs: Float[Tensor, "*items classes"],
    *,
    skew: float = 0.5,
) -> Float[Tensor, "*items"]:
    """Generalised Jensen–Shannon divergence (JSD), skew · KL(p ‖ m) + (1 − skew) · KL(q ‖ m).

    The mixture m = skew · p + (1 − skew) · q has probability wherever either has, so the divergence is
    bounded. Divided by skew it tends to the forward KL as skew tends to 0; divided by 1 − skew, to the
    reverse KL as skew tends to 1.

    Args:
        student_log_probs: log q, natural logarithm.
        teacher_log_probs: log p, natural logarithm.
        skew: β, the teacher's part of the mixture, above 0 and below 1.

    Shapes: [..., classes] twice -> [...] in nats, summed over the classes. Range 0 to log 2; zero for equal
    distributions; symmetric at skew 0.5.

    Raises:
        ValueError: the skew is not between 0 and 1, where the divergence would be 0 for all students.

    Source: Agarwal et al., On-Policy Distillation of Language Models (GKD), 2024, section 2. No differences.

    Example:
        >>> apart = torch.tensor([1.0, 0.0]).log(), torch.tensor([0.0, 1.0]).log()
        >>> jensen_shannon(*apart)
        tensor(0.6931)
    """
    if not 0 < skew < 1:
        raise ValueError(f"skew came as {skew}; above 0 and below 1 is expected: use a KL for the ends")
    student, teacher = widen(student_log_probs), widen(teacher_log_probs)
    absent = torch.isneginf(student) & torch.isneginf(teacher)
    student, teacher = student.masked_fill(absent, 0), teacher.masked_fill(absent, 0)
    mixture = torch.logaddexp(teacher + math.log(skew), student + math.log1p(-skew))
    gaps = skew * _weighted_gap(teacher, mixture) + (1 - skew) * _weighted_gap(student, mixture)
    return gaps.masked_fill(absent, 0).sum(-1)


def total_variation(
    student_log_probs: Float[Tensor, "*items classes"], teacher_log_probs: Float[Tensor, "*items classes"]
) -> Float[Tensor, "*items"]:
    """Total variation distance (TV), ½ Σ |p − q|.

    The largest difference in probability that the two give to any set of classes; in speculative decoding,
    the chance that a draft by the student is rejected.

    Args:
        student_log_probs: log q, natural logarithm.
        teacher_log_probs: log p, natural logarithm.

    Shapes: [..., classes] twice -> [...], summed over the classes. Range 0 to 1; zero for equal
    distributions.

    Source: Wen et al., f-Divergence Minimization for Sequence-Level Knowledge Distillation, 2023, for the
    distribution of one item. No differences.

    Example:
        >>> total_variation(torch.tensor([0.25, 0.75]).log(), torch.tensor([0.5, 0.5]).log())
        tensor(0.2500)
    """
    return (widen(teacher_log_probs).exp() - widen(student_log_probs).exp()).abs().sum(-1) / 2


def _weighted_gap(weight_log: Tensor, other_log: Tensor) -> Tensor:
    """w (log w − log o) for each class, 0 where w = 0: −inf is replaced before it can meet another −inf."""
    weight_log, other_log = widen(weight_log), widen(other_log)
    absent = torch.isneginf(weight_log)
    return weight_log.exp() * (weight_log.masked_fill(absent, 0) - other_log.masked_fill(absent, 0))
