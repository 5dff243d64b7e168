"""The choices of a writing."""

from __future__ import annotations

from dataclasses import dataclass, field

from tutelage.answers import Sampling
from tutelage.errors import RecipeError

__all__ = ["WriteSettings"]


@dataclass(frozen=True)
class WriteSettings:
    """What a teacher writes, and how the work is cut.

    Args:
        sampling: how text is drawn.
        samples: different continuations of each prompt.
        prompts: where they are; None for the openings of the recipe's training documents.
        prompt_tokens: of an opening.
        batch_size: prompts that are continued at once.
        shard_texts: in a file; who is killed loses the file in hand.

    Raises:
        RecipeError: numbers that mean nothing, or several samples of what is not drawn.
    """

    sampling: Sampling = field(default_factory=Sampling)
    samples: int = 1
    prompts: str | None = None
    prompt_tokens: int = 32
    batch_size: int = 16
    shard_texts: int = 256

    def __post_init__(self) -> None:
        for name in ("samples", "prompt_tokens", "batch_size", "shard_texts"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} came as {getattr(self, name)}; expected at least 1")
        if self.samples > 1 and not self.sampling.sampling_temperature:
            raise RecipeError(
                f"{self.samples} samples of each prompt came at temperature 0, where all are the same; give "
                "--temperature, or leave --samples out"
            )
