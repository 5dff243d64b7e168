"""Images."""

from tutelage.tasks.vision import models
from tutelage.tasks.vision.classification import classification

__all__ = ["classification", "models"]
