"""Rows of numbers."""

from tutelage.tasks.tabular import models
from tutelage.tasks.tabular.classification import classification

__all__ = ["classification", "models"]
