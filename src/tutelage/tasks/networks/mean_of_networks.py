"""Several networks that answer as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.capture import logits_of
from tutelage.errors import ModelError

__all__ = ["MeanOfNetworks"]


class MeanOfNetworks(nn.Module):
    """The mean of several networks' probabilities, as one network.

    What a teacher is as `teachers.Ensemble`, this is as something to measure, hand over and export: it costs
    as much as all its members together.

    Args:
        members: one network or more, which read the same inputs and tell the same classes apart.

    Shapes:
        as the members take it -> logits of the members' shape: the logarithm of the mean softmax, which is
        its own log-softmax, at least float32.

    Raises:
        ModelError: no members; members whose logits have different shapes, when called.

    Source:
        Furlanello et al. 2018, "Born-Again Neural Networks", equation 6. Differences: they do not say of what
        the mean is taken; here of probabilities.

    Example:
        >>> network = MeanOfNetworks([nn.Linear(4, 3), nn.Linear(4, 3)])
        >>> bool(torch.allclose(network(torch.zeros(5, 4)).exp().sum(-1), torch.ones(5)))
        True
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise ModelError("a mean of networks was given none; give it one or more")
        self.members = nn.ModuleList(members)

    def forward(self, *inputs: Any, **named: Any) -> Float[Tensor, "*items classes"]:
        """Logits of a batch."""
        answers = [logits_of(member(*inputs, **named)) for member in self.members]
        found = [answer for answer in answers if answer is not None]
        shapes = sorted({tuple(answer.shape) for answer in found})
        if len(found) < len(answers) or len(shapes) > 1:
            raise ModelError(
                f"members of a mean of networks answer with logits of different shapes, or without: "
                f"{shapes}; give them the same classes, and a head each"
            )
        wide = [answer.to(torch.promote_types(answer.dtype, torch.float32)) for answer in found]
        total: Tensor = torch.stack([answer.log_softmax(-1) for answer in wide]).logsumexp(0)
        return total - math.log(len(wide))
