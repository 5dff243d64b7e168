"""Sentences."""

from tutelage.tasks.text import models
from tutelage.tasks.text.classification import classification

__all__ = ["classification", "models"]
