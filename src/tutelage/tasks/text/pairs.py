"""Texts and their translations, filled up batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tutelage.data import Source, Subset
from tutelage.data.sources import bytes_of
from tutelage.errors import DataError
from tutelage.evaluation import row_and_position
from tutelage.tasks.text.sentences import filled, keys_of_tokens
from tutelage.tasks.text.words import WordList
from tutelage.types import UNLABELLED, Batch

__all__ = ["Pairs", "pairs_in", "taught"]


class Pairs(Source):
    """Texts with their translations, of which each token is to be told from the text and the tokens before.

    A batch holds `input_ids` and `attention_mask` of the texts, and `decoder_input_ids`, the translations
    from the token that begins them on; its labels are the tokens after each of these, up to the one that ends
    them. Both are filled up on the right to their own longest.

    Args:
        texts: as they were written.
        targets: the translation of each.
        where: what to call this in messages.

    Raises:
        DataError: no text, or an empty one.
    """

    def __init__(self, texts: Sequence[str], targets: Sequence[str], *, where: str = "the data") -> None:
        if not texts:
            raise DataError(f"{where} is empty; at least one text is needed")
        for number, both in enumerate(zip(texts, targets, strict=True)):
            if not all(one.strip() for one in both):
                raise DataError(
                    f"{where} has an empty text in row {number}: {both[0]!r} and {both[1]!r}; take it out"
                )
        self.texts, self.targets, self.where = list(texts), list(targets), where
        self.padding = 0
        self.tokens: list[Tensor] = []
        self.written: list[Tensor] = []
        self.keys = torch.empty(0, 2, dtype=torch.int64)

    def read_with(self, words: WordList, *, length: int) -> None:
        """Turn both into tokens.

        Args:
            words: the tokenizer.
            length: the most tokens of a text, the special ones included.
        """
        if length < 4:
            raise DataError(f"length came as {length} tokens; expected at least 4, two of them special")
        tokens, _ = words.encode(self.texts, None, length=length)
        self.padding = words.padding
        self.tokens = [torch.tensor(held, dtype=torch.int64) for held in tokens]
        targets = words.encode_targets(self.targets, length=length - 1)
        self.written = [torch.tensor([words.begin, *held, words.end]) for held in targets]
        self.keys = keys_of_tokens(self.tokens, self.written)

    def __len__(self) -> int:
        return len(self.texts)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The texts of these numbers; a text's id is its number."""
        ids = torch.as_tensor(numbers, dtype=torch.int64)
        inputs = filled([self.tokens[number] for number in ids.tolist()], self.padding)
        asked, labels = taught([self.written[number] for number in ids.tolist()], self.padding)
        inputs["decoder_input_ids"] = asked
        return Batch(inputs, ids, labels, labels != UNLABELLED, self.keys[ids])

    def examples_of(self, ids: Tensor) -> Tensor:
        """The texts of positions, by the numbers that tell positions apart."""
        return row_and_position(ids)[0]

    def fingerprint(self) -> str:
        """The SHA-256 of the tokens of all texts and translations."""
        return hashlib.sha256(bytes_of(self.keys)).hexdigest()


def taught(written: Sequence[Tensor], padding: int) -> tuple[Tensor, Tensor]:
    """What a decoder is shown of translations, and the labels: the token after each (teacher forcing).

    Args:
        written: the tokens of each.
        padding: what fills up.

    Example:
        >>> asked, labels = taught([torch.tensor([1, 7, 8, 2]), torch.tensor([1, 9, 2])], padding=0)
        >>> asked.tolist(), labels.tolist()
        ([[1, 7, 8], [1, 9, 0]], [[7, 8, 2], [9, 2, -100]])
    """
    asked = pad_sequence([one[:-1] for one in written], batch_first=True, padding_value=padding)
    labels = pad_sequence([one[1:] for one in written], batch_first=True, padding_value=UNLABELLED)
    return asked, labels


def pairs_in(part: Source) -> tuple[Pairs, list[int]]:
    """The texts that a part of the data is taken from, and which of them it has."""
    if isinstance(part, Pairs):
        return part, list(range(len(part)))
    assert isinstance(part, Subset)
    whole, numbers = pairs_in(part.source)
    return whole, [numbers[number] for number in part.numbers.tolist()]
