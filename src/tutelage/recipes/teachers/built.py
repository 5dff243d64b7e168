"""A teacher from the settings of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tutelage.errors import RecipeError, TutelageError
from tutelage.teachers import Teacher

__all__ = ["built"]


def built(kind: Callable[..., Teacher], *given: Any, **settings: Any) -> Teacher:
    """A teacher; what it refuses is said in the words of a recipe.

    Args:
        kind: its class.
        given: what it asks, if it asks others.
        settings: what the recipe says about it.

    Raises:
        RecipeError: the teacher refused its settings.
    """
    try:
        return kind(*given, **settings)
    except TutelageError:
        raise
    except ValueError as error:
        raise RecipeError(f"teacher {kind.__name__} refused {settings}: {error}") from error
