"""The choices of a labelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.answers import form_of
from tutelage.errors import UnknownName

__all__ = ["LabelSettings"]


@dataclass(frozen=True)
class LabelSettings:
    """How a teacher's answers are kept.

    Args:
        form: as `form_of` reads it; None to choose by the budget, or dense float32 without one.
        budget: bytes that all answers may take.
        layers: further layers to keep the features of, beside those that the recipe matches.
        feature_dtype: of kept features.
        precision: of the teacher's forward passes.
        shard_bytes: what a shard takes before it is compressed, about.
        compressed: by gzip; where training reads them they are unpacked once, in the cache.
    """

    form: str | None = None
    budget: float | None = None
    layers: Sequence[str] = ()
    feature_dtype: str = "float32"
    precision: str = "float32"
    shard_bytes: int = 32 * 2**20
    compressed: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise UnknownName("precision", self.precision, ("float32", "bfloat16"))
        if self.form is not None:
            form_of(self.form)
