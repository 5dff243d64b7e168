"""Networks for text, each a plain function of keywords."""

from tutelage.tasks.language.models.transformers_causal import transformers_causal

__all__ = ["transformers_causal"]
