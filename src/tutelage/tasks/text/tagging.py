"""A class for each word of a text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tutelage.data import Source, Subset
from tutelage.data.sources import bytes_of
from tutelage.errors import DataError, UnknownName
from tutelage.evaluation import Predictions, row_and_position
from tutelage.tasks.classification import choose_column, three_parts
from tutelage.tasks.exam import ClassExam
from tutelage.tasks.problem import Problem
from tutelage.tasks.text.columns import read_splits
from tutelage.tasks.text.sentences import filled, keys_of_tokens
from tutelage.tasks.text.words import WordList
from tutelage.types import UNLABELLED, Batch

__all__ = ["TagExam", "Tagged", "tagging"]

_WORDS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "pos_tags", "labels", "upos")


class Tagged(Source):
    """Texts as lists of words, with a class for each word: the label of its first piece, which alone counts.

    Args:
        texts: the words of each.
        tags: as many classes of each.
        where: what to call this in messages.

    Raises:
        DataError: no text, or another number of classes than of words.
    """

    def __init__(self, texts: Sequence[Sequence[str]], tags: Sequence[Sequence[int]], *, where: str) -> None:
        for number, (words, own) in enumerate(zip(texts, tags, strict=True)):
            if len(words) != len(own) or not words:
                raise DataError(
                    f"{where} has {len(words)} words and {len(own)} tags in row {number}; expected as many, "
                    "and one at least; mend the row, or take it out"
                )
        self.texts, self.tags, self.where = texts, tags, where
        self.padding = 0
        self.tokens: list[Tensor] = []
        self.marks: list[Tensor] = []
        self.keys = torch.empty(0, 2, dtype=torch.int64)

    def read_with(self, words: WordList, *, length: int) -> None:
        """Turn the words into tokens, at most so many of a text."""
        tokens, owners = words.encode_words(self.texts, length=length)
        self.padding = words.padding
        self.tokens = [torch.tensor(held, dtype=torch.int64) for held in tokens]
        self.marks = [_marks(own, tags) for own, tags in zip(owners, self.tags, strict=True)]
        self.keys = keys_of_tokens(self.tokens)

    def __len__(self) -> int:
        return len(self.texts)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The texts of these numbers; a text's id is its number."""
        ids = torch.as_tensor(numbers, dtype=torch.int64)
        inputs = filled([self.tokens[number] for number in ids.tolist()], self.padding)
        marks = [self.marks[number] for number in ids.tolist()]
        labels = pad_sequence(marks, batch_first=True, padding_value=UNLABELLED)
        return Batch(inputs, ids, labels, labels != UNLABELLED, self.keys[ids])

    def examples_of(self, ids: Tensor) -> Tensor:
        """The texts of positions, by the numbers that tell positions apart."""
        return row_and_position(ids)[0]

    def fingerprint(self) -> str:
        """The SHA-256 of all tokens and labels."""
        return hashlib.sha256(bytes_of(self.keys) + bytes_of(torch.cat(self.marks))).hexdigest()


class TagExam(ClassExam):
    """A class for each word, measured by accuracy; words of one text go together in intervals."""

    def clusters(self, answers: Predictions, source: Source) -> Tensor:
        """The text of each word."""
        return source.examples_of(answers.ids)


def tagging(
    *,
    data: str | Mapping[str, str],
    tokenizer: str | Mapping[str, Any] = {"wordpiece": 8000},
    length: int = 128,
    config: str | None = None,
    splits: Mapping[str, str] | None = None,
    words: str | None = None,
    tags: str | None = None,
    train: float | int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.2,
    watch: Sequence[int] = (),
    seed: int = 0,
) -> Problem:
    """Words of texts, each with one class (named entities, parts of speech), measured by accuracy over words.

    Args:
        data, tokenizer, length, config, splits: as for `text.classification`. Words beyond `length` are cut.
        words, tags: the columns, lists of words and of classes; found by their usual names. Classes are whole
            numbers from 0, or words.
        train: the share or number of training texts to keep; None keeps all.
        validation, test: the share or number of training texts to draw where the set has no such split.
        watch: classes whose recall is reported by itself.
        seed: of the splits.
    """
    tables = read_splits(data, config=config, splits=splits)
    table = tables["train"] if "train" in tables else next(iter(tables.values()))
    words = choose_column(table, words, "words", _WORDS)
    tags = choose_column(table, tags, "tags", _TAGS)
    names = _names(table, tags)
    places = {name: number for number, name in enumerate(names)}
    held: list[Tagged] = []

    def read(part: Any, where: str) -> Source:
        numbers = [[_place(tag, places) for tag in row] for row in part[tags][:]]
        held.append(Tagged(part[words][:], numbers, where=f"the {where} split"))
        return held[-1]

    parts = three_parts(tables, read, train=train, validation=validation, test=test, seed=seed)
    known = WordList.of(tokenizer, [" ".join(text) for text in _texts(parts[0])])
    for part in held:
        part.read_with(known, length=length)
    counted = _labels(parts[2])
    return Problem(
        *parts,
        exam=TagExam(watch=watch),
        num_classes=len(names),
        class_names=tuple(names),
        chance=float(counted.bincount().max() / len(counted)),
        network_options={
            "num_classes": len(names),
            "class_names": tuple(names),
            "vocabulary": len(known),
            "length": length,
            "words": known,
            "answers": "tags",
        },
        files={"tokenizer": known.tokenizer.save_pretrained},
    )


def _marks(owners: Sequence[int | None], tags: Sequence[int]) -> Tensor:
    """The class of each word at its first piece."""
    found = torch.full((len(owners),), UNLABELLED)
    for at, owner in enumerate(owners):
        if owner is not None and (at == 0 or owners[at - 1] != owner):
            found[at] = tags[owner]
    return found


def _names(table: Any, column: str) -> list[str]:
    inner = getattr(table.features[column], "feature", None)
    if getattr(inner, "names", None):
        return [str(name) for name in inner.names]  # type: ignore[union-attr]
    found = {tag for row in table[column][:] for tag in row}
    if found and all(isinstance(tag, int) for tag in found):
        return [str(number) for number in range(max(found) + 1)]
    return sorted(map(str, found))


def _place(tag: Any, places: Mapping[str, int]) -> int:
    if isinstance(tag, int):
        return tag
    if str(tag) not in places:
        raise UnknownName("tag", str(tag), places, hint="Training has no word with it.")
    return places[str(tag)]


def _texts(part: Source) -> list[Sequence[str]]:
    if isinstance(part, Subset):
        whole = _texts(part.source)
        return [whole[number] for number in part.numbers.tolist()]
    assert isinstance(part, Tagged)
    return list(part.texts)


def _labels(part: Source) -> Tensor:
    labels: Tensor = part.batch(range(len(part))).labels
    return labels[labels != UNLABELLED]
