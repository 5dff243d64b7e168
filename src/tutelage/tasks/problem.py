"""What a task hands to a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import nn

from tutelage.answers import Prompt, Sampling, Text
from tutelage.data import Source
from tutelage.evaluation import Predictions
from tutelage.types import Batch

__all__ = ["Problem", "Writer"]


class Writer(Protocol):
    """How the networks of a field write text of their own."""

    def prompts(self, place: str | None, tokens: int) -> list[Prompt]:
        """The prompts at a place; without one, the first tokens of each training document."""

    def check(self, network: nn.Module, longest: int, tokens: int) -> None:
        """Refuse a network that cannot write so many tokens after the longest prompt."""

    def write(
        self, network: nn.Module, asked: Sequence[tuple[Prompt, int]], sampling: Sampling
    ) -> list[Text]:
        """Go on from some prompts at once, each with the number of its sample."""


@dataclass(frozen=True)
class Problem:
    """Data in three parts, and how to measure answers about it.

    Args:
        train, validation, test: the parts; choices are made on `validation`, and `test` is read once, at
            the end. Without a `test`, results are those of the validation split, and the report says so.
        measure: answers -> named numbers; the first key is the metric of the verdict unless `metric` says.
        metric: what the verdict is about, and what weights are chosen by.
        higher_is_better: its direction.
        num_classes: the width of the logits, or None.
        class_names: names of the classes, in order.
        chance: what guessing would reach by `metric`, or None.
        augment: settings -> a change of training batches; None where the field has no augmentations.
        network_options: what a network's builder may be told about the data: `num_classes`, `in_channels` …
        files: what a student needs beside its weights, such as a tokenizer: name -> writes it to a path.
        writer: how networks write; None where the field has no text.
    """

    train: Source
    validation: Source
    test: Source | None
    measure: Callable[[Predictions], dict[str, float]]
    metric: str = "accuracy"
    higher_is_better: bool = True
    num_classes: int | None = None
    class_names: Sequence[str] = ()
    chance: float | None = None
    augment: Callable[[Mapping[str, object]], Callable[[Batch, int], Batch]] | None = None
    network_options: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)
    writer: Writer | None = None

    def write_files(self, folder: Path) -> None:
        """Put what a student needs beside its weights into a folder."""
        for name, write in self.files.items():
            write(folder / name)
