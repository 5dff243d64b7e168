"""Networks for one part of a pair, by name; each is told how many numbers its part has (`in_features`)."""

from tutelage.tasks.networks import mlp

__all__ = ["mlp"]
