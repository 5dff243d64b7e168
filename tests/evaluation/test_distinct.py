from __future__ import annotations

import pytest

from tutelage.evaluation import distinct_ngrams


def test_a_number_worked_out_by_hand():
    """Of eight words five are different, of six pairs five: "the owl" comes twice."""
    assert distinct_ngrams(["the owl saw the owl", "a cat\nsaw"], sizes=(1, 2)) == {1: 5 / 8, 2: 5 / 6}


def test_ngrams_do_not_reach_from_one_text_into_the_next():
    assert distinct_ngrams(["a b", "a b"], sizes=(2, 3)) == {2: 0.5, 3: None}
    assert distinct_ngrams([]) == dict.fromkeys((1, 2, 3, 4))


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="1 word or more"):
        distinct_ngrams(["a"], sizes=(0,))
