"""What a task hands to a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tutelage.answers import Prompt, Sampling, Text
from tutelage.data import Source
from tutelage.data.frames import RawRows
from tutelage.tasks.exam import ClassExam, Exam
from tutelage.types import Batch

__all__ = ["Corpus", "Problem", "Writer"]


class Writer(Protocol):
    """How the networks of a field write text of their own."""

    answers: bool
    """Whether text answers the training examples, and a stage takes it by `augment: {written: FOLDER}`; else
    it is data to train on."""

    def prompts(self, place: str | None, tokens: int) -> list[Prompt]:
        """The prompts at a place; without one, the first tokens of each training document."""

    def check(self, network: nn.Module, longest: int, tokens: int) -> None:
        """Refuse a network that cannot write so many tokens after the longest prompt."""

    def write(
        self, network: nn.Module, asked: Sequence[tuple[Prompt, int]], sampling: Sampling
    ) -> list[Text]:
        """Go on from some prompts at once, each with the number of its sample."""


class Corpus(Protocol):
    """The training documents of a field one by one, for choosing among them."""

    def __len__(self) -> int:
        """How many."""

    def row(self, number: int) -> dict[str, Any]:
        """A document as a row of a data set."""

    def fingerprint(self) -> str:
        """A hash of all documents, and of how they are shown."""

    def network(self, path: str) -> nn.Module:
        """A trained network that reads them, from a folder or the hub."""

    def batches(self, numbers: Sequence[int], *, rows: int) -> Iterator[tuple[Batch, Tensor]]:
        """What to ask about some of them, with the place in `numbers` of each position's; -1 for nothing."""


@dataclass(frozen=True)
class Problem:
    """Data in three parts, and how answers about them are examined.

    Args:
        train, validation, test: the parts; choices are made on `validation`, and `test` is read once, at
            the end. Without a `test`, results are those of the validation split, and the report says so.
        exam: what is collected of a network's answers, and how it is measured.
        num_classes: the width of the logits, or None.
        class_names: names of the classes, in order.
        chance: what guessing would reach by the exam's metric, or None.
        augment: settings -> a change of training batches; None where the field has no augmentations.
        network_options: what a network's builder may be told about the data: `num_classes`, `in_channels` …
        offers: what a scheme's constructor may ask for by name, such as `rollout`, how a network writes or
            acts.
        reads: the name of a network, or `teacher` -> the keys of the inputs that it reads; all where a name
            is missing. It holds for training, measuring, costs and export.
        files: what a student needs beside its weights, such as a tokenizer: name -> writes it to a path.
        writer: how networks write; None where the field has no text.
        pace: (networks by name, device) -> how quickly each writes, by name, for its costs; None where the
            field has no text, and no entry for a network that cannot.
        corpus: the training documents one by one; None where the field has none.
        parts: problems within this one, by name, such as one of several tasks: what a teacher that knows no
            more is trained and validated by.
        preparation: what is done to an example before a network reads it, as data, for those who use the
            student elsewhere; see `tutelage.export.bundle.Described`. Empty where it cannot be said so.
        raw: the raw rows of inputs, where examples are rows of a frame.
    """

    train: Source
    validation: Source
    test: Source | None
    exam: Exam = field(default_factory=ClassExam)
    num_classes: int | None = None
    class_names: Sequence[str] = ()
    chance: float | None = None
    augment: Callable[[Mapping[str, object]], Callable[[Batch, int], Batch]] | None = None
    network_options: Mapping[str, object] = field(default_factory=dict)
    offers: Mapping[str, Any] = field(default_factory=dict)
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)
    writer: Writer | None = None
    pace: Callable[[Mapping[str, nn.Module], torch.device], Mapping[str, Mapping[str, float]]] | None = None
    corpus: Corpus | None = None
    parts: Mapping[str, Problem] = field(default_factory=dict)
    preparation: Mapping[str, Any] = field(default_factory=dict)
    raw: RawRows | None = None

    @property
    def metric(self) -> str:
        """What the verdict is about."""
        return self.exam.metric

    @property
    def higher_is_better(self) -> bool:
        """The direction of the metric."""
        return self.exam.higher_is_better

    @property
    def of_teacher(self) -> Problem:
        """The same for a network that is to be the teacher: in its own training it goes by `student`."""
        if not self.reads:
            return self
        own = self.reads.get("teacher")
        return replace(self, reads={} if own is None else {"student": own})

    @property
    def reported(self) -> Source:
        """The split that results are reported on: test, or validation where there is none."""
        return self.test if self.test is not None else self.validation

    def write_files(self, folder: Path) -> None:
        """Put what a student needs beside its weights into a folder."""
        for name, write in self.files.items():
            write(folder / name)
