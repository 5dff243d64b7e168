"""Parameters that a whole training has left as they were."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from tutelage.errors import TutelageWarning

__all__ = ["warn_of_untrained"]

_NAMED = 4


def warn_of_untrained(untouched: Sequence[Sequence[str]], networks: Sequence[str], label: str) -> None:
    """Say which parameters got no gradient in any stage: a second head that no term looks at, say.

    Args:
        untouched: of each training, the parameters of its turns that got none, as `network.path`.
        networks: the names of the arm's networks.
        label: what to call the arm.
    """
    always = set(untouched[0]).intersection(*untouched[1:]) if untouched else set()
    for name in networks:
        own = (
            [key for key in untouched[0] if key in always and key.startswith(f"{name}.")] if untouched else []
        )
        left = [key.removeprefix(f"{name}.") for key in own]
        if left:
            more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            said = (
                f"{label}: of the {name}, {', '.join(left[:_NAMED])}{more} got no gradient in the whole "
                "training, so that they answer by their first weights. If that is a head with an "
                'answer of its own, add a match for it (guided=":output.1"); else freeze it '
                "(requires_grad_(False))"
            )
            warnings.warn(said, TutelageWarning, stacklevel=2)
