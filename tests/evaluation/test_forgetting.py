"""What is kept of lessons that were learnt one after another, by hand."""

from __future__ import annotations

import pytest
import torch

from tutelage.evaluation import average_accuracy, backward_transfer, forgetting, forward_transfer

# rows: lessons; columns: after stages 0, 1, 2
LEARNT = torch.tensor([[0.90, 0.95, 0.70], [0.55, 0.80, 0.75], [0.40, 0.60, 0.90]])


def test_the_measures_by_hand():
    assert average_accuracy(LEARNT) == pytest.approx((0.70 + 0.75 + 0.90) / 3)
    assert backward_transfer(LEARNT) == pytest.approx(((0.70 - 0.90) + (0.75 - 0.80)) / 2)
    assert forgetting(LEARNT) == pytest.approx(((0.95 - 0.70) + (0.80 - 0.75)) / 2)  # the best, not the first
    fresh = [0.5, 0.5, 0.45]
    assert forward_transfer(LEARNT, fresh) == pytest.approx(((0.55 - 0.5) + (0.60 - 0.45)) / 2)


def test_nothing_is_forgotten_before_it_was_learnt():
    """A lesson that was known better before its own stage lost that by learning, not by forgetting."""
    assert forgetting(torch.tensor([[0.9, 0.8, 0.8], [0.99, 0.7, 0.6], [0.5, 0.5, 0.5]])) == pytest.approx(
        0.1
    )


def test_what_later_lessons_add_is_no_forgetting():
    grown = torch.tensor([[0.6, 0.9], [0.5, 0.8]])
    assert forgetting(grown) == pytest.approx(-0.3)
    assert backward_transfer(grown) == pytest.approx(0.3)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (2,)])
@pytest.mark.parametrize("measure", [average_accuracy, backward_transfer, forgetting])
def test_as_many_stages_as_lessons(measure, shape):
    with pytest.raises(ValueError, match="one stage for each"):
        measure(torch.zeros(shape))


def test_fresh_weights_of_every_lesson():
    with pytest.raises(ValueError, match="2 fresh accuracies came for 3 lessons"):
        forward_transfer(LEARNT, [0.5, 0.5])
