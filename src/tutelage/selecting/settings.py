"""The choices of a selection."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.errors import RecipeError

__all__ = ["SelectSettings"]


@dataclass(frozen=True)
class SelectSettings:
    """What is kept, and how the work is cut.

    Args:
        keep: the share of the tokens that is kept, above 0 and below 1, in the best documents.
        reference: a folder, a GGUF file or a hub name of the small network that the teacher is held against;
            None for the recipe's student, trained on all documents by their labels.
        batch_size: rows that a network is shown at once.
        shard_documents: whose scores are in a file; who is killed loses the file in hand.

    Raises:
        RecipeError: numbers that mean nothing.
    """

    keep: float = 0.5
    reference: str | None = None
    batch_size: int = 8
    shard_documents: int = 64

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1:
            raise RecipeError(f"keep came as {self.keep}; a share above 0 and below 1 is expected")
        for name in ("batch_size", "shard_documents"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} came as {getattr(self, name)}; expected at least 1")
