"""The hidden tokens of a text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tutelage.data import Source
from tutelage.tasks.classification import choose_column, three_parts
from tutelage.tasks.exam import TokenExam
from tutelage.tasks.problem import Problem
from tutelage.tasks.text.columns import TEXT, read_splits, texts_of
from tutelage.tasks.text.masking import Masked, Masking, Remask
from tutelage.tasks.text.sentences import Sentences, sentences_in
from tutelage.tasks.text.words import WordList

__all__ = ["masked_language_modelling"]

_AT_ONCE = 256  # pieces whose labels are in memory


def masked_language_modelling(
    *,
    data: str | Mapping[str, str],
    tokenizer: str | Mapping[str, Any] = {"wordpiece": 8000},
    length: int = 128,
    masked: float = 0.15,
    config: str | None = None,
    splits: Mapping[str, str] | None = None,
    text: str | None = None,
    train: float | int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.1,
    seed: int = 0,
) -> Problem:
    """Masked language modelling (MLM): tokens of a text are hidden, and told from those around them.

    Measured by the negative log-likelihood (NLL) of what is hidden. Which tokens are hidden depends on the
    text and the seed alone, so that teacher, student and control see the same; `augment: {remask: true}`
    hides others in each epoch of training.

    Args:
        data: as for `text.classification`, with a column of texts; empty ones are left out.
        tokenizer: as there; it has a token that hides others.
        length: the most tokens of a piece; longer texts are cut into several.
        masked: the share of tokens that are to be told; see `Masking`.
        config, splits: as for `text.classification`.
        text: the column of texts; found by its usual names.
        train: the share or number of training texts to keep; None keeps all.
        validation, test: the share or number of training texts to draw where the set has no such split.
        seed: of the splits, and of what is hidden.
    """
    tables = read_splits(data, config=config, splits=splits)
    column = choose_column(next(iter(tables.values())), text, "text", TEXT)

    def read(table: Any, where: str) -> Source:
        held = [one for one in texts_of(table, column) if one.strip()]
        return Sentences(held, None, where=f"the {where} split")

    parts = three_parts(tables, read, train=train, validation=validation, test=test, seed=seed)
    texts = [sentences_in(part)[0] for part in parts]
    words = WordList.of(tokenizer, texts[0])
    masking = Masking(words, share=masked)
    trained, held, last = (
        Masked(each, words, masking, length=length, seed=seed, where=f"the {name} split")
        for each, name in zip(texts, ("train", "validation", "test"), strict=True)
    )
    return Problem(
        train=trained,
        validation=held,
        test=last,
        exam=TokenExam(),
        num_classes=len(words),
        chance=_chance(trained, last, len(words)),
        augment=partial(Remask.of, masking),
        network_options={
            "num_classes": len(words),
            "vocabulary": len(words),
            "length": length,
            "words": words,
            "answers": "token",
        },
        files={"tokenizer": words.tokenizer.save_pretrained},
    )


def _chance(train: Masked, asked: Masked, classes: int) -> float:
    """What a guess without the text would reach: each token as often as in training, and once more."""
    seen = torch.bincount(torch.cat(train.tokens), minlength=classes).double()
    seen[train.masking.special] = 0
    shares = (seen + 1) / (seen + 1).sum()
    hidden = torch.cat([_hidden(asked, start) for start in range(0, len(asked), _AT_ONCE)])
    return float(-shares[hidden].log().mean())


def _hidden(source: Masked, start: int) -> Tensor:
    batch = source.batch(range(start, min(start + _AT_ONCE, len(source))))
    labels: Tensor = batch.labels
    return labels[labels >= 0]
