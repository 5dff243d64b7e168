"""Boxes around what is in a picture."""

from tutelage.tasks.detection import models
from tutelage.tasks.detection.boxes import boxes

__all__ = ["boxes", "models"]
