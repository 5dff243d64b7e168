"""The next token of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tutelage.tasks.exam import TokenExam
from tutelage.tasks.language.corpus import Corpus
from tutelage.tasks.language.documents import Cut, check_test, read_documents, three_parts
from tutelage.tasks.language.pace import Pace
from tutelage.tasks.language.packing import Rows
from tutelage.tasks.language.rollout import Rollout
from tutelage.tasks.language.vocabulary import Vocabulary
from tutelage.tasks.language.writing import Author
from tutelage.tasks.problem import Problem

__all__ = ["modelling"]

_ROWS = 256  # whose labels are in memory at a time


def modelling(
    *,
    data: str | Mapping[str, str],
    tokenizer: str | Mapping[str, Any],
    length: int,
    config: str | None = None,
    text: str | None = None,
    documents: Cut = "whole",
    validation: float | int = 0.1,
    test: float | int = 0.1,
    seed: int = 0,
) -> Problem:
    """Language modelling (causal LM): rows of text, of which each token is to be predicted from those before.

    Documents are laid end to end and cut into rows; nobody looks from one document into another, and each
    starts at position 0. Measured by the negative log-likelihood of the next token.

    Args:
        data: a text file or a folder of them (`train…`, `valid…`, `test…`); a Parquet, CSV or JSON file, a
            folder of them, a folder that `Dataset.save_to_disk` wrote, or a name on the hub, with a column of
            text, or of conversations: `messages`, written by the tokenizer's chat template, or `prompt` and
            `completion`; of these the answers alone are learnt. What a teacher wrote (`tutelage write`); or
            one such place for each split.
        tokenizer: a folder, a GGUF file or a hub name that Transformers reads a tokenizer from; or
            `{bpe: 8000}`, byte pairs learnt from the training text.
        length: tokens in a row.
        config: the configuration of a hub set.
        text: the column of text; found by its usual names.
        documents: what a document is: `whole`, each file or row; `paragraphs`, cut at empty lines;
            `headings`, cut before `= Title =`, also across rows.
        validation, test: the share or number of training documents to draw where the data has no such split.
        seed: of the draw.
    """
    found = read_documents(data, config=config, text=text, documents=documents)
    check_test(data, found)
    texts = three_parts(found, validation=validation, test=test, seed=seed)
    words = Vocabulary.of(tokenizer, texts[0])
    names = ("the training text", "the validation text", "the test text")
    train, held, last = (
        Rows(*words.read(part), length=length, padding=words.end, where=where)
        for part, where in zip(texts, names, strict=True)
    )
    return Problem(
        train=train,
        validation=held,
        test=last,
        exam=TokenExam(lengths=words.byte_lengths()),
        num_classes=len(words),
        chance=_chance(train, last, len(words)),
        network_options={"vocabulary": len(words), "length": length, "words": words},
        offers={"rollout": Rollout(words.end)},
        files={"tokenizer": words.tokenizer.save_pretrained},
        writer=Author(words, train),
        pace=Pace(length),
        corpus=Corpus(texts[0], words, length),
    )


def _chance(train: Rows, asked: Rows, classes: int) -> float:
    """What a guess without the text before would reach: each token as often as in training, and once more."""
    seen, wanted = (_counts(rows, classes).double() for rows in (train, asked))
    shares = (seen + 1) / (seen + 1).sum()
    return float(-(wanted * shares.log()).sum() / wanted.sum())


def _counts(rows: Rows, classes: int) -> Tensor:
    """How often each token is a label."""
    counts = torch.zeros(classes, dtype=torch.int64)
    for start in range(0, len(rows), _ROWS):
        labels = rows.batch(range(start, min(start + _ROWS, len(rows)))).labels
        assert labels is not None
        counts += torch.bincount(labels[labels >= 0], minlength=classes)
    return counts
