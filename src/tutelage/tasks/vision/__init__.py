"""Images."""

from tutelage.tasks.vision import models
from tutelage.tasks.vision.classification import classification
from tutelage.tasks.vision.two_tasks import two_tasks

__all__ = ["classification", "models", "two_tasks"]
