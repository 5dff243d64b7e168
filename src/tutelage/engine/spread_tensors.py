"""Whether a tensor is spread over processes, asked without importing what spreads it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

__all__ = ["is_spread"]


def is_spread(value: object) -> TypeGuard[DTensor]:
    """Whether this is a tensor of which each process holds a part (`DTensor`).

    Importing that class takes more than a second; where nobody has imported it, there is none of its tensors.
    """
    if "torch.distributed.tensor" not in sys.modules:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)
