"""Which documents are kept, by scores worked out by hand."""

from __future__ import annotations

import pytest

from tutelage.errors import DataError
from tutelage.selecting.finish import chosen
from tutelage.selecting.scoring import Score

FOUR = [Score(-6.0, -8.0, 4), Score(-2.0, -6.0, 2), Score(-9.0, -9.0, 6), Score(-1.0, -2.0, 2)]
"""Half a nat a token better than the reference, two, none and half a nat."""


def test_the_best_are_kept_until_they_hold_the_share():
    assert [one.value for one in FOUR] == [0.5, 2.0, 0.0, 0.5]
    assert chosen(FOUR, keep=0.1) == [1]  # 2 of 14 tokens
    assert chosen(FOUR, keep=0.4) == [0, 1]  # 6; of equal scores the first
    assert chosen(FOUR, keep=0.5) == [0, 1, 3]  # 8
    assert chosen(FOUR, keep=0.9) == [0, 1, 2, 3]


def test_what_predicts_nothing_is_left_out():
    nothing = Score(0.0, 0.0, 0)
    assert chosen([nothing, *FOUR], keep=0.99) == [1, 2, 3, 4]
    with pytest.raises(DataError, match="no document has two tokens"):
        chosen([nothing], keep=0.5)
