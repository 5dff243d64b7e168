"""Soft targets weighed by doubt, by being right, and by a gap."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.divergences import forward_kl
from tutelage.losses.response import WeighedSoftTarget
from tutelage.types import UNLABELLED

STUDENT, TEACHER = (torch.tensor(rows).log() for rows in ([[0.5, 0.5], [0.9, 0.1]], [[0.8, 0.2], [0.5, 0.5]]))
LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("by", "weights"),
    [
        ("entropy", (-(0.8 * math.log2(0.8) + 0.2 * math.log2(0.2)), 1.0)),
        ("right", (0.8, 0.5)),
        ("gap", (math.log(0.8 / 0.5), math.log(0.5 / 0.1))),
    ],
)
def test_by_hand(by, weights):
    expected = (torch.tensor(weights) * forward_kl(STUDENT, TEACHER)).mean()
    torch.testing.assert_close(WeighedSoftTarget(by=by)(STUDENT, TEACHER, LABELS), expected)


def test_items_without_a_label():
    none = torch.full_like(LABELS, UNLABELLED)
    plain = forward_kl(STUDENT, TEACHER).mean()
    torch.testing.assert_close(WeighedSoftTarget(by="right")(STUDENT, TEACHER, none), plain)
    assert WeighedSoftTarget(by="gap")(STUDENT, TEACHER, none) == 0


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="entropy, right, gap is expected"):
        WeighedSoftTarget(by="luck")
