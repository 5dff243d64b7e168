"""Examples of which each network sees its own part: what one sensor saw, and what another did."""

from tutelage.tasks.paired import models
from tutelage.tasks.paired.classification import classification
from tutelage.tasks.paired.sounds import sounds

__all__ = ["classification", "models", "sounds"]
