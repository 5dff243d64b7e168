"""Texts with some tokens hidden, which are to be told from those around them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tutelage.data import Source
from tutelage.data.sources import bytes_of
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.evaluation import row_and_position
from tutelage.tasks.text.augment import at_places
from tutelage.tasks.text.sentences import filled, keys_of_tokens
from tutelage.tasks.text.words import WordList
from tutelage.types import UNLABELLED, Batch

__all__ = ["Masked", "Masking", "Remask"]

_SHOWN_AS_MASK, _SHOWN_AS_ANOTHER = 0.8, 0.9
"""Up to which number a chosen token is shown as the mask, and up to which as another one."""


class Masking:
    """Choose tokens that are to be told, and what is shown in their places.

    Which ones depends on the text's id, the place and a seed alone: a teacher, a student and a control see
    the same. At least one token of each text is chosen.

    Args:
        words: the tokenizer.
        share: how many are chosen; special tokens never are.

    Source: Devlin et al., BERT, 2019, section 3.1: 15 % are chosen, of which 80 % are shown as the mask, 10 %
    as another token and 10 % as they are. Difference: at least one of each text.
    """

    def __init__(self, words: WordList, *, share: float = 0.15) -> None:
        if not 0 < share < 1:
            raise RecipeError(f"masked: {share}; expected a share between 0 and 1, such as 0.15")
        self.share, self.number, self.count = share, words.mask, len(words)
        self.special = torch.tensor(words.special)

    def __call__(self, batch: Batch, tokens: Tensor, seed: int) -> Batch:
        """The batch with some of its tokens hidden; these are the labels, and these alone count.

        Args:
            batch: of texts.
            tokens: what is truly there, [n, length].
            seed: another one chooses others.
        """
        shape = tokens.shape[1]
        chance, how, which = (
            at_places(batch.ids, shape, seed=seed, draw=draw) for draw in ("chosen", "how", "which")
        )
        chance = chance.masked_fill(torch.isin(tokens, self.special), 2.0)
        chosen = (chance < self.share) | (chance == chance.min(1, keepdim=True).values)
        chosen &= chance < 1
        another = (which * self.count).long()
        shown = torch.where(how < _SHOWN_AS_MASK, self.number, tokens)
        shown = torch.where((how >= _SHOWN_AS_MASK) & (how < _SHOWN_AS_ANOTHER), another, shown)
        inputs = {**batch.inputs, "input_ids": torch.where(chosen, shown, tokens)}
        return replace(batch, inputs=inputs, labels=torch.where(chosen, tokens, UNLABELLED), mask=chosen)


class Masked(Source):
    """Texts, cut into pieces of at most so many tokens, with some tokens hidden.

    Args:
        texts: as they were written.
        words: the tokenizer.
        masking: what is hidden.
        length: the most tokens of a piece, the special ones included.
        seed: of what is hidden.
        where: what to call this in messages.

    Raises:
        DataError: no piece has a token that is no special one.
    """

    def __init__(
        self,
        texts: Sequence[str],
        words: WordList,
        masking: Masking,
        *,
        length: int,
        seed: int = 0,
        where: str = "the data",
    ) -> None:
        if length < 4:
            raise DataError(f"length came as {length} tokens; expected at least 4, two of them special")
        pieces, owners = words.pieces(texts, length=length)
        special = set(words.special)
        told = [n for n, piece in enumerate(pieces) if not special.issuperset(piece)]
        if not told:
            raise DataError(f"{where} has no text with a token in it; nothing can be hidden")
        self.tokens = [torch.tensor(pieces[n], dtype=torch.int64) for n in told]
        self.owners = torch.tensor([owners[n] for n in told])
        self.masking, self.padding, self.seed = masking, words.padding, seed
        self.keys = keys_of_tokens(self.tokens)
        self.keys[:, 0] ^= torch.arange(len(told))  # the same text elsewhere has others hidden

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The pieces of these numbers; a piece's id is its number."""
        ids = torch.as_tensor(numbers, dtype=torch.int64)
        inputs = filled([self.tokens[number] for number in ids.tolist()], self.padding)
        return self.masking(Batch(inputs, ids, keys=self.keys[ids]), inputs["input_ids"], self.seed)

    def examples_of(self, ids: Tensor) -> Tensor:
        """The texts of positions, by the numbers that tell positions apart."""
        return self.owners[row_and_position(ids)[0]]

    def fingerprint(self) -> str:
        """The SHA-256 of all tokens, and of what is hidden."""
        said = f"{self.seed} {self.masking.share}".encode()
        return hashlib.sha256(bytes_of(self.keys) + said).hexdigest()


class Remask:
    """Hide other tokens in each epoch.

    Source: Liu et al., RoBERTa, 2019, section 4.1, dynamic masking.
    """

    def __init__(self, masking: Masking, *, remask: bool = True) -> None:
        self.masking, self.remask = masking, remask

    def __repr__(self) -> str:
        return f"Remask(remask={self.remask})"

    @classmethod
    def of(cls, masking: Masking, settings: Mapping[str, object]) -> Remask:
        """What a recipe describes."""
        for name in settings:
            if name != "remask":
                raise UnknownName("augmentation", name, ["remask"])
        return cls(masking, **settings)  # type: ignore[arg-type]

    def __call__(self, batch: Batch, view: int) -> Batch:
        """The batch as seen in `view`; the same view of a text hides the same tokens."""
        if not self.remask:
            return batch
        labels: Tensor = batch.labels
        true = torch.where(labels != UNLABELLED, labels, batch.inputs["input_ids"])
        return self.masking(batch, true, view + 1)
