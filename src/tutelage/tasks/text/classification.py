"""Classes of texts, or a number for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from tutelage.data import Source
from tutelage.errors import DataError, RecipeError
from tutelage.tasks.classification import choose_column, classes, three_parts
from tutelage.tasks.problem import Problem
from tutelage.tasks.text.augment import Augment
from tutelage.tasks.text.columns import LABEL, PAIR, TEXT, classes_in, read_splits, texts_of, values_in
from tutelage.tasks.text.correlation import CorrelationExam
from tutelage.tasks.text.sentences import Sentences, sentences_in
from tutelage.tasks.text.words import WordList
from tutelage.types import UNLABELLED

__all__ = ["classification"]


def classification(
    *,
    data: str | Mapping[str, str],
    tokenizer: str | Mapping[str, Any] = {"wordpiece": 8000},
    length: int = 128,
    config: str | None = None,
    splits: Mapping[str, str] | None = None,
    text: str | None = None,
    pair: str | bool = True,
    label: str | None = None,
    regression: bool = False,
    train: float | int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.2,
    watch: Sequence[int] = (),
    seed: int = 0,
) -> Problem:
    """Sentences or pairs of them, each with one class, measured by accuracy; or each with a number.

    Texts of a batch are filled up to its longest one; what fills up counts nothing, in networks and losses.

    Args:
        data: a Parquet, CSV or JSON file, a folder of them, a folder that `Dataset.save_to_disk` wrote, or a
            name on the hub; or such a place for each split.
        tokenizer: a folder or a hub name that Transformers reads a tokenizer from, that of a teacher with
            weights of its own; or what is learnt from the training texts: `{wordpiece: 8000}`, `{bpe: 8000}`
            or `{words: 20000}`.
        length: the most tokens of a text, or of a text and its pair; what is longer is cut.
        config: the configuration of a hub set.
        splits: `{test: validation}` takes the data's validation split as the test, where its own test has no
            labels; a validation split is then drawn from training.
        text, label: the columns; found by their usual names. Labels are whole numbers from 0, or words.
        pair: the column of the second texts; found by its usual names where there is one, false for none.
        regression: whether labels are numbers, such as how alike two sentences are; measured by Spearman's
            rank correlation.
        train: the share or number of training texts to keep, drawn by class; None keeps all.
        validation, test: the share or number of training texts to draw where the set has no such split.
        watch: classes whose recall is reported by itself.
        seed: of the splits.

    Raises:
        DataError, UnknownName: columns that are not there or hold something else; a test without labels.
        RecipeError, CheckpointError: a tokenizer that cannot be had.
    """
    tables = read_splits(data, config=config, splits=splits)
    table = tables["train"] if "train" in tables else next(iter(tables.values()))
    text = choose_column(table, text, "text", TEXT)
    label = choose_column(table, label, "label", LABEL)
    beside = _beside(table, pair)
    names, labels_in = ([], partial(values_in, column=label)) if regression else classes_in(table, label)
    held: list[Sentences] = []

    def read(part: Any, where: str) -> Source:
        pairs = None if beside is None else texts_of(part, beside)
        labels = labels_in(part)
        _check(labels, where, label, len(names))
        held.append(Sentences(texts_of(part, text), labels, pairs=pairs, where=where))
        return held[-1]

    parts = three_parts(tables, read, train=train, validation=validation, test=test, seed=seed)
    texts, others = sentences_in(parts[0])
    words = WordList.of(tokenizer, [*texts, *others])
    for part in held:
        part.read_with(words, length=length)
    rest: dict[str, Any] = {
        "augment": partial(Augment.of, words),
        "network_options": {
            "num_classes": 1 if regression else len(names),
            "class_names": tuple(names),
            "vocabulary": len(words),
            "length": length,
            "words": words,
            "answers": "value" if regression else "class",
        },
        "files": {"tokenizer": words.tokenizer.save_pretrained},
    }
    if not regression:
        return classes(*parts, class_names=names, watch=watch, **rest)
    if watch:
        raise RecipeError(
            f"watch: {list(watch)} names classes, and regression has none; leave one of them out"
        )
    return Problem(*parts, exam=CorrelationExam(), num_classes=1, chance=0.0, **rest)


def _beside(table: Any, pair: str | bool) -> str | None:
    """The column of second texts, if there are any."""
    if isinstance(pair, str):
        return choose_column(table, pair, "pair", PAIR)
    return next((name for name in PAIR if name in table.column_names), None) if pair else None


def _check(labels: Tensor, where: str, column: str, count: int) -> None:
    """Refuse a split in which no text has a label, and classes that training does not have."""
    known = ~labels.isnan() if labels.is_floating_point() else labels != UNLABELLED
    if not bool(known.any()):
        raise DataError(
            f"no text of the {where} split has a label ({column!r}), as in sets whose answers are kept "
            "secret; take another split for it: task.splits={test: validation}"
        )
    if count and int(labels.max()) >= count:
        raise DataError(
            f"the {where} split has the label {int(labels.max())}, and training has {count} classes, 0 to "
            f"{count - 1}; map the labels, or name another column with task.label=<column>"
        )
