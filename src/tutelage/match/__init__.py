"""A loss, bound to a place: one term of what a student minimises."""

from tutelage.match.match import Match

__all__ = ["Match"]
