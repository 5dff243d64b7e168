"""A text in another language."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from tutelage.data import Source
from tutelage.errors import UnknownName
from tutelage.tasks.classification import choose_column, three_parts
from tutelage.tasks.exam import Exam, TokenExam
from tutelage.tasks.problem import Problem
from tutelage.tasks.text.columns import read_splits, texts_of
from tutelage.tasks.text.pairs import Pairs, pairs_in
from tutelage.tasks.text.translation_exam import METRICS, TranslationExam
from tutelage.tasks.text.translator import Translator
from tutelage.tasks.text.words import WordList
from tutelage.tasks.text.written import Written

__all__ = ["translation"]

_SOURCE = ("source", "src", "input", "document", "text")
_TARGET = ("target", "tgt", "output", "summary")


def translation(
    *,
    data: str | Mapping[str, str],
    tokenizer: str | Mapping[str, Any] = {"bpe": 8000},
    length: int = 64,
    config: str | None = None,
    splits: Mapping[str, str] | None = None,
    source: str | None = None,
    target: str | None = None,
    metric: str = "bleu",
    train: float | int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.1,
    seed: int = 0,
) -> Problem:
    """Translation, and whatever else turns one text into another (sequence to sequence, summaries).

    Networks answer about each token of a reference, shown those before it (teacher forcing): losses on
    answers compare these, which is word-level distillation. For sequence-level distillation a teacher writes
    its own translations (`tutelage write`), and a stage with `augment: {written: FOLDER}` trains on them.

    Args:
        data, config, splits: as for `text.classification`, with a column of texts and one of translations.
        tokenizer: as there; what is learnt is learnt from both sides together, and tells capitals apart.
        length: the most tokens of a text, and of a translation.
        source, target: the columns; found by their usual names.
        metric: `bleu` or `chrf`, of what a network writes itself; or `nll`, the negative log-likelihood of
            the references' tokens, for which nothing is written. Weights are chosen by it on validation.
        train: the share or number of training texts to keep; None keeps all.
        validation, test: the share or number of training texts to draw where the set has no such split.
        seed: of the splits.

    Raises:
        DataError: columns that are no texts, or empty ones.
        UnknownName: another metric, or a column that is not there.
        MissingExtra: Transformers, or sacrebleu for `bleu` and `chrf`, is not installed.
    """
    if metric not in METRICS:
        raise UnknownName("metric of translations", metric, METRICS)
    tables = read_splits(data, config=config, splits=splits)
    table = tables["train"] if "train" in tables else next(iter(tables.values()))
    source = choose_column(table, source, "source", _SOURCE)
    target = choose_column(table, target, "target", _TARGET)
    held: list[Pairs] = []

    def read(part: Any, where: str) -> Source:
        held.append(Pairs(texts_of(part, source), texts_of(part, target), where=f"the {where} split"))
        return held[-1]

    parts = three_parts(tables, read, train=train, validation=validation, test=test, seed=seed)
    pairs, numbers = pairs_in(parts[0])
    texts = [pairs.texts[number] for number in numbers]
    words = WordList.of(tokenizer, texts + [pairs.targets[number] for number in numbers], cased=True)
    for part in held:
        part.read_with(words, length=length)
    return Problem(
        *parts,
        exam=_exam(metric, words, held, length),
        num_classes=len(words),
        chance=_chance(parts[0], parts[2], len(words)) if metric == "nll" else 0.0,
        augment=partial(Written.of, parts[0], words, length),
        network_options={
            "num_classes": len(words),
            "vocabulary": len(words),
            "length": length,
            "words": words,
            "begin": words.begin,
            "end": words.end,
            "answers": "translation",
        },
        files={"tokenizer": words.tokenizer.save_pretrained},
        writer=Translator(words, texts, length=length, source=source),
    )


def _exam(metric: str, words: WordList, held: list[Pairs], length: int) -> Exam:
    if metric == "nll":
        return TokenExam()
    references = {
        tuple(tokens[1:].tolist()): text
        for part in held
        for tokens, text in zip(part.written, part.targets, strict=True)
    }
    return TranslationExam(words, references, metric=metric, length=length)


def _chance(train: Source, asked: Source, classes: int) -> float:
    """What a guess without the text would reach: each token as often as in training, and once more."""
    seen, wanted = (_labels(part).bincount(minlength=classes).double() for part in (train, asked))
    shares = (seen + 1) / (seen + 1).sum()
    return float(-(wanted * shares.log()).sum() / wanted.sum())


def _labels(part: Source) -> torch.Tensor:
    pairs, numbers = pairs_in(part)
    return torch.cat([pairs.written[number][1:] for number in numbers])
