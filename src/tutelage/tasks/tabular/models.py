"""Networks for rows of numbers, by name."""

from tutelage.tasks.networks import mlp

__all__ = ["mlp"]
