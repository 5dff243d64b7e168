"""Divergences together with their gradient, written out and computed in place.

All take log-probabilities of rows, the student first, both in float32 or wider, and OVERWRITE them: of a
large vocabulary few buffers may live at once. They give a number for each row, and its gradient by what the
student's softmax was taken of. Values are those of `divergences`; nothing here has a gradient of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "Slope",
    "differentiate",
    "forward_kl_",
    "jensen_shannon_",
    "reverse_kl_",
    "skewed_kl_",
    "total_variation_",
]

Rows = Float[Tensor, "rows classes"]
Sloped = tuple[Float[Tensor, " rows"], Rows]
Slope = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(student, teacher) -> a number for each row, and its gradient."""


def forward_kl_(student: Rows, teacher: Rows, *, weight: float = 1.0, extra: Tensor | None = None) -> Sloped:
    """Forward KL; its gradient is q − p, or, beside another target, weight · (q − p) + extra · q.

    Shapes: [rows, classes] twice -> [rows] and [rows, classes].

    Example:
        >>> student, teacher = torch.tensor([[0.25, 0.75]]).log(), torch.tensor([[0.5, 0.5]]).log()
        >>> forward_kl_(student, teacher)
        (tensor([0.1438]), tensor([[-0.2500,  0.2500]]))
    """
    probs = teacher.exp()
    value = _sum_(teacher.sub_(student), probs)
    ours = student.exp_()
    if extra is not None:
        ours.mul_(weight + extra)
    return value, ours.sub_(probs, alpha=weight)


def reverse_kl_(student: Rows, teacher: Rows) -> Sloped:
    """Reverse KL; its gradient is q · (log q − log p − value).

    Shapes: [rows, classes] twice -> [rows] and [rows, classes].
    """
    gaps = torch.sub(student, teacher, out=teacher)
    probs = student.exp_()
    value = _sum_(gaps, probs)
    return value, gaps.addcmul_(probs, value.unsqueeze(-1), value=-1)


def jensen_shannon_(student: Rows, teacher: Rows, *, skew: float) -> Sloped:
    """Generalised Jensen–Shannon divergence; its gradient is (1 − skew) · q · (log q − log m − KL(q ‖ m)).

    Shapes: [rows, classes] twice -> [rows] and [rows, classes].
    """
    ours, theirs = student.exp(), teacher.exp()
    mixture = _mixture_log(ours, theirs, skew)
    value = skew * _sum_(teacher.sub_(mixture), theirs)
    gaps = student.sub_(mixture)
    part = _sum_(gaps, ours)
    gradient = gaps.addcmul_(ours, part.unsqueeze(-1), value=-1).mul_(1 - skew)
    return value + (1 - skew) * part, gradient


def skewed_kl_(student: Rows, teacher: Rows, *, skew: float) -> Sloped:
    """Forward KL to a mixture m; its gradient is q · Σ u − u, where u = (1 − skew) · p q / m.

    Shapes: [rows, classes] twice -> [rows] and [rows, classes].
    """
    if skew == 0:
        return forward_kl_(student, teacher)
    ours, theirs = student.exp_(), teacher.exp()
    mixture = _mixture_log(ours, theirs, skew)
    value = _sum_(teacher.sub_(mixture), theirs)
    shares = theirs.mul_(ours).div_(mixture.exp_()).mul_(1 - skew)
    return value, ours.mul_(shares.sum(-1, keepdim=True)).sub_(shares)


def total_variation_(student: Rows, teacher: Rows) -> Sloped:
    """Total variation; its gradient is ½ q · (σ − Σ q σ), where σ is the sign of q − p.

    Shapes: [rows, classes] twice -> [rows] and [rows, classes].
    """
    probs = student.exp_()
    gaps = torch.sub(probs, teacher.exp_(), out=teacher)
    value = gaps.abs().sum(-1) / 2
    signs = gaps.sign_().mul_(probs)
    gradient = signs.addcmul_(probs, signs.sum(-1, keepdim=True), value=-1).div_(2)
    return value, gradient


def differentiate(divergence: Callable[[Tensor, Tensor], Tensor], student: Rows, teacher: Rows) -> Sloped:
    """Any divergence of log-probabilities, differentiated by torch.

    Shapes: [rows, classes] twice -> [rows] and [rows, classes].
    """
    with torch.enable_grad():
        leaf = student.detach().requires_grad_()
        value = divergence(leaf, teacher)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
    total = gradient.sum(-1, keepdim=True)
    return value.detach(), gradient - student.exp() * total


def _sum_(gaps: Tensor, probs: Tensor) -> Tensor:
    """Multiply gaps of logarithms by probabilities, in place, 0 where these are 0; give the sum of each row.

    Only −inf times 0 is in need of care. On a CPU that is looked for in the sums, as comparing costs more
    than multiplying; elsewhere the answer would have to be waited for.
    """
    total = gaps.mul_(probs).sum(-1)
    if torch.compiler.is_compiling() or total.device.type != "cpu" or bool(total.isnan().any()):
        total = gaps.masked_fill_(probs == 0, 0).sum(-1)
    return total


def _mixture_log(student: Tensor, teacher: Tensor, skew: float) -> Tensor:
    """Log of the mixture of two rows of probabilities, finite where neither has any."""
    return torch.lerp(student, teacher, skew).clamp_(min=torch.finfo(student.dtype).tiny).log_()
