"""What a detector learns by: values by hand, and what every loss promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tutelage.losses.response import SoftTarget
from tutelage.match import Match
from tutelage.tasks.detection.losses import CellBox, CellLabel, SoftBox, SoftCell
from tutelage.types import UNLABELLED, Batch, Outputs

LABELS = {
    "boxes": torch.tensor(
        [[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]], [[0.5, 0.0, 1.0, 0.5], [-100.0] * 4]]
    ),
    "classes": torch.tensor([[1, 0], [1, UNLABELLED]]),
}
"""Two images on a grid of 2 × 2: things in the first and the last cell, and in the second."""


def test_the_class_of_a_cell_by_hand():
    """Equal logits give log 3 in each cell; a cell with nothing counts a half: (2 + 1)/4 and (1 + 3/2)/4."""
    loss = CellLabel(nothing=0.5)(torch.zeros(2, 4, 3), LABELS)
    assert loss.item() == pytest.approx(math.log(3) * (3 / 4 + 2.5 / 4) / 2)


def test_the_last_class_is_nothing():
    logits = torch.full((2, 4, 3), -30.0)
    for image, cell, kind in ((0, 0, 1), (0, 3, 0), (1, 1, 1)):
        logits[image, cell, kind] = 30.0
    for image, cell in ((0, 1), (0, 2), (1, 0), (1, 2), (1, 3)):
        logits[image, cell, 2] = 30.0
    assert CellLabel()(logits, LABELS).item() == pytest.approx(0, abs=1e-6)


def test_the_box_of_a_cell_by_hand():
    """One cell is one unit. The first image is off by a cell on one edge of one thing: ½/4, of two things."""
    own = torch.full((2, 4, 4), 9.0)
    own[0, 0], own[0, 3] = torch.tensor([0.0, 0.0, 1.0, 0.5]), LABELS["boxes"][0, 1]
    own[1, 1] = LABELS["boxes"][1, 0]
    assert CellBox()(own, LABELS).item() == pytest.approx((0.5 / 4 / 2 + 0) / 2)


def test_an_image_of_nothing_has_no_box():
    empty = {"boxes": torch.full((1, 2, 4), -100.0), "classes": torch.full((1, 2), UNLABELLED)}
    own = torch.rand(1, 4, 4, requires_grad=True)
    loss = CellBox()(own, empty)
    loss.backward()
    assert loss.item() == 0
    assert own.grad is not None
    assert not own.grad.any()


def test_soft_boxes_by_hand():
    """The teacher is sure of a thing in one cell, and that of nothing in the others."""
    logits = torch.full((1, 4, 3), -40.0)
    logits[0, 0, 0] = logits[0, 1, 2] = logits[0, 2, 2] = logits[0, 3, 2] = 40.0
    theirs = torch.zeros(1, 4, 4)
    own = theirs + 5
    own[0, 0] = torch.tensor([0.0, 0.0, 0.5, 0.0])  # one cell off on one of four edges
    assert SoftBox()((own, logits), (theirs, logits)).item() == pytest.approx(0.5 / 4, rel=1e-5)


def test_soft_cells_by_hand():
    """Two cells, of which the teacher is sure: a thing in one, nothing in the other, which counts a fifth.

    The student is undecided between two classes in each: a KL of log 2, and T² = 1.
    """
    theirs = torch.tensor([[[40.0, 0.0, -40.0], [-80.0, 0.0, 40.0]]])
    own = torch.tensor([[[0.0, 0.0, -90.0], [-90.0, 0.0, 0.0]]])
    loss = SoftCell(temperature=1.0, nothing=0.2)(own, theirs)
    assert loss.item() == pytest.approx(math.log(2) * 1.2 / 2, rel=1e-5)


def test_soft_cells_that_count_alike_are_soft_targets():
    own, theirs = torch.randn(2, 3, 9, 5, generator=torch.Generator().manual_seed(0))
    found = SoftCell(temperature=3.0, nothing=1.0)(own, theirs)
    torch.testing.assert_close(found, SoftTarget(temperature=3.0)(own, theirs))


def test_a_student_that_is_its_teacher():
    both = (torch.rand(3, 9, 4), torch.randn(3, 9, 5))
    assert SoftBox()(both, both).item() == 0
    assert SoftCell()(both[1], both[1]).item() == pytest.approx(0, abs=1e-6)


def terms(own: dict[str, Tensor], teacher: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """All terms of a batch, through matches."""
    ours, theirs = (
        Outputs(each["logits"], {":output.boxes": each["boxes"], ":output.logits": each["logits"]})
        for each in (own, teacher)
    )
    matches = {
        "label": Match(CellLabel()),
        "box": Match(CellBox(), guided=":output.boxes"),
        "soft box": Match(SoftBox(), guided=[":output.boxes", ":output.logits"]),
        "soft cell": Match(SoftCell()),
    }
    return {name: match(ours, theirs, batch) for name, match in matches.items()}


@pytest.fixture
def case() -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    own = torch.Generator().manual_seed(2)

    def answer() -> dict[str, Tensor]:
        return {
            "logits": torch.randn(6, 9, 4, generator=own, dtype=torch.float64).requires_grad_(),
            "boxes": torch.rand(6, 9, 4, generator=own, dtype=torch.float64).requires_grad_(),
        }

    corners = torch.rand(6, 3, 2, generator=own, dtype=torch.float64) * 0.7
    classes = torch.randint(3, (6, 3), generator=own)
    classes[:, 2] = UNLABELLED
    return answer(), answer(), {"boxes": torch.cat([corners, corners + 0.3], -1), "classes": classes}


def part(held: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {name: value[rows] for name, value in held.items()}


def test_parts_of_a_batch_are_the_batch(case):
    own, teacher, labels = case
    whole = terms(own, teacher, Batch(None, torch.arange(6), labels))
    cut = [
        terms(part(own, rows), part(teacher, rows), Batch(None, torch.arange(6)[rows], part(labels, rows)))
        for rows in (slice(0, 2), slice(2, 6))
    ]
    for name, value in whole.items():
        torch.testing.assert_close(cut[0][name] * 2 / 6 + cut[1][name] * 4 / 6, value, rtol=1e-12, atol=0)


def test_masked_images_count_for_nothing(case):
    own, teacher, labels = case
    mask = torch.tensor([True, False, True, True, False, True])
    spoilt = {name: torch.where(mask.view(-1, 1, 1), value, torch.nan) for name, value in own.items()}
    found = terms(spoilt, teacher, Batch(None, torch.arange(6), labels, mask=mask))
    kept = terms(part(own, mask), part(teacher, mask), Batch(None, torch.arange(4), part(labels, mask)))
    for name, value in kept.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=0)
    sum(found.values()).backward()
    for value in own.values():
        assert value.grad.isfinite().all()
        assert not value.grad[~mask].any()


def test_nothing_left_is_zero(case):
    own, teacher, labels = case
    mask = torch.zeros(6, dtype=torch.bool)
    assert all(
        value.item() == 0
        for value in terms(own, teacher, Batch(None, torch.arange(6), labels, mask=mask)).values()
    )


def test_the_teacher_gets_no_gradient(case):
    own, teacher, labels = case
    sum(terms(own, teacher, Batch(None, torch.arange(6), labels)).values()).backward()
    assert all(value.grad is None for value in teacher.values())
    assert all(value.grad.any() for value in own.values())


def test_what_is_refused(case):
    own, teacher, labels = case
    for kind in (CellLabel, SoftCell):
        with pytest.raises(ValueError, match="nothing came as 0"):
            kind(nothing=0)
    with pytest.raises(ValueError, match="temperature came as 0"):
        SoftCell(temperature=0)
    with pytest.raises(ValueError, match="give student and teacher one grid"):
        SoftBox()((own["boxes"][:, :4], own["logits"]), (teacher["boxes"], teacher["logits"]))
    with pytest.raises(ValueError, match="the mask came with shape"):
        CellBox()(own["boxes"], labels, torch.ones(3, dtype=torch.bool))
