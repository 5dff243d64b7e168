"""Sentences."""

from tutelage.tasks.text import models
from tutelage.tasks.text.classification import classification
from tutelage.tasks.text.embedding import embedding
from tutelage.tasks.text.masked_language_modelling import masked_language_modelling
from tutelage.tasks.text.tagging import tagging
from tutelage.tasks.text.translation import translation

__all__ = ["classification", "embedding", "masked_language_modelling", "models", "tagging", "translation"]
