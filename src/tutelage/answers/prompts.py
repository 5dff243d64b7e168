"""What a teacher is asked to write."""

from __future__ import annotations

import math
from dataclasses import dataclass

import xxhash

from tutelage.answers.manifest import TEXT
from tutelage.errors import RecipeError

__all__ = ["Prompt", "Sampling"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a teacher goes on from.

    Args:
        text: of the prompt.
        length: its tokens.
    """

    text: str
    length: int

    @property
    def key(self) -> str:
        """A hash (XXH3, 128 bits) of the text: prompts that read the same are the same."""
        return xxhash.xxh3_128_hexdigest(self.text.encode())


@dataclass(frozen=True, slots=True)
class Sampling:
    """How text is drawn.

    Args:
        tokens: at which a text is cut off, if the teacher has not ended it before.
        sampling_temperature: divides the logits; 0 takes the likeliest token each time.
        top_p: draw from the likeliest tokens that together have this share of the probability.
        seed: of all draws.

    Raises:
        RecipeError: numbers that mean nothing.

    Source: for `top_p`, Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.

    Example:
        >>> Sampling(tokens=64, sampling_temperature=0.8).form
        'text:64@0.8'
    """

    tokens: int = 64
    sampling_temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise RecipeError(f"tokens came as {self.tokens}; expected at least 1")
        if not 0 <= self.sampling_temperature < math.inf:
            raise RecipeError(
                f"temperature came as {self.sampling_temperature}; expected 0, for the likeliest "
                "text, or a number above"
            )
        if not 0 < self.top_p <= 1:
            raise RecipeError(f"top_p came as {self.top_p}; expected a share above 0, up to 1")
        if self.top_p < 1 and not self.sampling_temperature:
            raise RecipeError("top_p cuts what is drawn, and at temperature 0 nothing is; give a temperature")

    @property
    def form(self) -> str:
        """The form of the answers, as a manifest has it."""
        return f"{TEXT}{self.tokens}@{self.sampling_temperature:g}"
