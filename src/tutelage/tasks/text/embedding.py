"""Embeddings of sentences, which say how alike these are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.data import Over
from tutelage.data.sources import bytes_of
from tutelage.errors import DataError
from tutelage.modes import evaluating
from tutelage.tasks.classification import choose_column, three_parts
from tutelage.tasks.problem import Problem
from tutelage.tasks.text.augment import Augment
from tutelage.tasks.text.columns import PAIR, TEXT, read_splits, texts_of
from tutelage.tasks.text.models.sentence_encoder import sentence_encoder
from tutelage.tasks.text.sentences import Sentences, filled, sentences_in
from tutelage.tasks.text.similarity import SimilarityExam
from tutelage.tasks.text.words import WordList
from tutelage.types import Batch

__all__ = ["embedding"]

_AT_ONCE = 64  # texts that the encoder is shown together


def embedding(
    *,
    data: str | Mapping[str, str],
    encoder: str,
    tokenizer: str | None = None,
    length: int = 128,
    config: str | None = None,
    splits: Mapping[str, str] | None = None,
    text: str | None = None,
    pair: str | bool = True,
    train: float | int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.1,
    seed: int = 0,
) -> Problem:
    """Sentences without labels, whose embeddings are to say as an encoder's do how alike two of them are.

    Measured by Spearman's rank correlation of the cosines of held-out pairs with the encoder's. Pairs are the
    data's, where it has a column of second sentences; else two near and two random partners of each held-out
    sentence are drawn (`draw_pairs`). A sentence counts once in each split, and what is held out is not
    trained on.

    Args:
        data: as for `text.classification`, with a column of texts, or two; labels are not read.
        encoder: a folder or a hub name of the encoder to agree with, mostly the teacher; its pooling is read
            from `1_Pooling/config.json` where there is one.
        tokenizer: likewise; the encoder's by default.
        length: the most tokens of a text; what is longer is cut.
        config, splits: as for `text.classification`.
        text: the column of texts; found by its usual names.
        pair: the column of second texts; found by its usual names where there is one, false for none.
        train: the share or number of training rows to keep; None keeps all.
        validation, test: the share or number of training rows to draw where the set has no such split.
        seed: of the splits, and of the pairs that are drawn.

    Raises:
        DataError, UnknownName: columns that are not there or hold something else; no sentence.
        CheckpointError: an encoder or a tokenizer that cannot be had, or pools in a way that is not known.
    """
    tables = read_splits(data, config=config, splits=splits)
    table = tables["train"] if "train" in tables else next(iter(tables.values()))
    column = choose_column(table, text, "text", TEXT)
    beside = _beside(table, pair)
    rows = three_parts(
        tables, partial(_rows, column, beside), train=train, validation=validation, test=test, seed=seed
    )
    parts = [_texts(*sentences_in(part)) for part in rows]
    held_out = {one for part in parts[1:] for one in part}
    kept = [one for one in dict.fromkeys(parts[0]) if one not in held_out]
    words = WordList.of(tokenizer or encoder, kept)
    sources = []
    for name, part in zip(("train", "validation", "test"), (kept, *parts[1:]), strict=True):
        source = Sentences(part, None, where=f"the {name} split")
        source.read_with(words, length=length)
        sources.append(source)
    said = _Said(partial(sentence_encoder, path=encoder, length=length), words.padding)
    held, last = (_Beside(source, said) for source in sources[1:])
    return Problem(
        train=sources[0],
        validation=held,
        test=last,
        exam=SimilarityExam(paired=beside is not None, seed=seed),
        chance=0.0,
        augment=partial(Augment.of, words),
        network_options={
            "encoder": encoder,
            "vocabulary": len(words),
            "length": length,
            "words": words,
            "answers": "embedding",
        },
        files={"tokenizer": words.tokenizer.save_pretrained},
    )


class _Said:
    """What the encoder of a task says of texts, asked when it is wanted."""

    def __init__(self, build: Any, padding: int) -> None:
        self.build, self.padding = build, padding

    @cached_property
    def network(self) -> nn.Module:
        """The encoder."""
        made: nn.Module = self.build()
        return made.requires_grad_(False)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of its weights, and of how it pools."""
        digest = hashlib.sha256(repr(self.network.embedding).encode())
        for held in self.network.state_dict().values():
            digest.update(bytes_of(held))
        return digest.hexdigest()

    def __call__(self, tokens: Sequence[Tensor]) -> Tensor:
        """The embeddings of texts, [n, width], on the CPU."""
        order = sorted(range(len(tokens)), key=lambda number: len(tokens[number]))
        found: list[Tensor] = []
        with torch.no_grad(), evaluating(self.network):
            for start in range(0, len(order), _AT_ONCE):
                part = [tokens[number] for number in order[start : start + _AT_ONCE]]
                found.append(self.network(**filled(part, self.padding)))
        return torch.cat(found)[torch.tensor(order).argsort()]


class _Beside(Over):
    """Sentences with the embeddings of the task's encoder as labels."""

    def __init__(self, source: Sentences, said: _Said) -> None:
        super().__init__(source)
        self.said, self.tokens = said, source.tokens

    @cached_property
    def embeddings(self) -> Tensor:
        """Of all sentences."""
        return self.said(self.tokens)

    @property
    def labels(self) -> None:
        """None by which examples could be told apart."""

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The sentences of these numbers, with their embeddings."""
        batch = self.source.batch(numbers)
        return replace(batch, labels=self.embeddings[batch.ids])

    def fingerprint(self) -> str:
        """That of the sentences, together with the encoder's."""
        return hashlib.sha256((self.source.fingerprint() + self.said.fingerprint).encode()).hexdigest()


def _beside(table: Any, pair: str | bool) -> str | None:
    """The column of second texts, if there is one."""
    if isinstance(pair, str):
        return choose_column(table, pair, "pair", PAIR)
    return next((name for name in PAIR if name in table.column_names), None) if pair else None


def _rows(column: str, beside: str | None, table: Any, where: str) -> Sentences:
    """The rows of a split in which nothing is empty."""
    texts = texts_of(table, column)
    pairs = None if beside is None else texts_of(table, beside)
    kept = [n for n, one in enumerate(texts) if one.strip() and (pairs is None or pairs[n].strip())]
    if not kept:
        raise DataError(f"the {where} split has no row without an empty text ({column!r})")
    return Sentences(
        [texts[n] for n in kept],
        None,
        pairs=None if pairs is None else [pairs[n] for n in kept],
        where=f"the {where} split",
    )


def _texts(texts: Sequence[str], pairs: Sequence[str]) -> list[str]:
    """Each text once; of pairs one after the other, as often as they come."""
    if not pairs:
        return list(dict.fromkeys(texts))
    return [one for both in zip(texts, pairs, strict=True) for one in both]
