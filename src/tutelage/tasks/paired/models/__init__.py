"""Networks for one part of a pair, by name; an `mlp` must be told how many numbers it reads."""

from tutelage.tasks.networks import mlp
from tutelage.tasks.paired.models.sound_convnet import sound_convnet

__all__ = ["mlp", "sound_convnet"]
