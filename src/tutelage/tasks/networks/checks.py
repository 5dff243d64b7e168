"""What every builder of a network checks before it builds."""

from __future__ import annotations

from tutelage.errors import ModelError

__all__ = ["require_positive"]


def require_positive(**counts: object) -> None:
    """Raise `ModelError` for the first named count that is not an integer of at least 1."""
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ModelError(f"{name} must be an integer of at least 1; it was {count!r}")
