"""Text."""

from tutelage.tasks.language import models
from tutelage.tasks.language.modelling import modelling

__all__ = ["modelling", "models"]
