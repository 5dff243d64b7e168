from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tutelage.data import Loader, Subset
from tutelage.errors import DataError
from tutelage.tasks.language.packing import Rows
from tutelage.types import UNLABELLED

NONE = UNLABELLED


def rows_of(*documents, length=4, padding=0):
    return Rows([np.array(one, dtype=np.int32) for one in documents], length=length, padding=padding)


def test_rows_by_hand():
    # 5 6 7 | 8 9 || 10 11 12 13 | 14 || 15 - - -   (| ends a document, || a row)
    rows = rows_of([5, 6, 7], [8, 9, 10, 11, 12], [13, 14, 15])
    batch = rows.batch([0, 1, 2])
    assert len(rows) == 3
    assert batch.ids.tolist() == [0, 1, 2]
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 0]]
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 0], [0, 1, 2, 3], [0, 1, 2, 0]]
    assert batch.inputs["documents"].tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert batch.labels.tolist() == [[6, 7, NONE, NONE], [10, 11, 12, NONE], [14, 15, NONE, NONE]]
    assert batch.mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert batch.count == 7


def test_what_is_left_over_and_predicts_nothing_is_dropped():
    rows = rows_of([5, 6, 7, 8], [9])
    assert len(rows) == 1
    assert len(rows_of([5, 6, 7], [8], [9])) == 1


def test_a_document_goes_on_in_the_next_row_at_position_zero():
    batch = rows_of([1, 2, 3, 4, 5, 6, 7, 8]).batch([1])
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 3]]
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 7, 8]]


def test_what_fills_up_is_a_document_of_its_own():
    batch = rows_of([5, 6], length=5, padding=9).batch([0])
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 9, 9, 9]]
    assert batch.inputs["documents"].tolist() == [[0, 0, 1, 1, 1]]
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 0, 1, 2]]
    assert batch.mask.tolist() == [[True, False, False, False, False]]


def test_rows_keep_their_numbers_in_any_order():
    rows = rows_of(range(1, 41))
    (first, second) = Loader(Subset(rows, [7, 2]), batch_size=1, shuffle=False)
    assert first.ids.tolist() == [7]
    assert second.inputs["input_ids"].tolist() == rows.batch([2]).inputs["input_ids"].tolist()


def test_every_label_follows_its_token():
    generator = np.random.default_rng(0)
    documents = [generator.integers(1, 99, size) for size in generator.integers(1, 12, 40)]
    batch = (rows := rows_of(*documents, length=7)).batch(range(len(rows)))
    pairs = {(int(a), int(b)) for one in documents for a, b in pairwise(one)}
    tokens, labels = batch.inputs["input_ids"], batch.labels
    assert {(int(a), int(b)) for a, b in zip(tokens[batch.mask], labels[batch.mask], strict=True)} <= pairs
    assert bool((labels[~batch.mask] == NONE).all())
    assert not batch.mask[:, -1].any()


def test_the_fingerprint_knows_tokens_documents_and_rows():
    made = [
        rows_of([1, 2, 3, 4]),
        rows_of([1, 2, 3, 5]),
        rows_of([1, 2], [3, 4]),
        rows_of([1, 2, 3, 4], length=2),
    ]
    assert len({rows.fingerprint() for rows in made}) == 4
    assert rows_of([1, 2, 3, 4]).fingerprint() == made[0].fingerprint()


def test_rows_that_cannot_teach():
    with pytest.raises(DataError, match="rows of 1 tokens came; expected at least 2"):
        rows_of([1, 2], length=1)
    for documents in ([], [[]], [[1], [2], [3]]):
        with pytest.raises(DataError, match="no document of two tokens"):
            rows_of(*documents)
