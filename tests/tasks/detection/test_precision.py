"""Average precision of boxes, on examples that are worked by hand."""

from __future__ import annotations

import pytest
import torch

from tutelage.tasks.detection.precision import average_precision, box_iou, find_things
from tutelage.types import UNLABELLED


def box(left: float, top: float, side: float = 2.0) -> list[float]:
    return [left, top, left + side, top + side]


def test_overlap():
    boxes = torch.tensor([box(0, 0), box(1, 1), box(5, 5), [3.0, 3.0, 1.0, 1.0]])
    found = box_iou(boxes, boxes[:2])
    expected = [[1, 1 / 7], [1 / 7, 1], [0, 0], [0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_by_hand():
    """Two images, one class, three things; five boxes.

    Ranked: .9 finds a thing, .8 covers the same thing again, .7 finds the second, .6 lies nowhere, .5 covers
    the third by 2 of 6 only. Precision at the two hits: 1 and 2/3; recall goes to 2/3. AP = (1 + 2/3) / 3.
    """
    boxes = torch.tensor([[box(0, 0), box(0.2, 0), box(8, 8)], [box(4, 4), box(3, 0), box(9, 9)]])
    scores = torch.tensor([[[0.9, 0.8, 0.6]], [[0.7, 0.5, 0.0]]])
    true_boxes = torch.tensor([[box(0, 0), [float(UNLABELLED)] * 4], [box(4, 4), box(2, 0)]])
    true_classes = torch.tensor([[0, UNLABELLED], [0, 0]])
    hits = find_things(scores, boxes, true_boxes, true_classes)
    assert hits.tolist() == [[[True, False, False]], [[True, False, False]]]
    found = average_precision(
        *(each.transpose(0, 1).flatten(1) for each in (scores, hits)), torch.tensor([3])
    )
    assert found.item() == pytest.approx(5 / 9)


def test_the_precision_at_a_recall_is_the_best_at_or_beyond_it():
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
    hits = torch.tensor([[False, True, True, False]])  # precision 0, 1/2, 2/3, 1/2
    assert average_precision(scores, hits, torch.tensor([2])).item() == pytest.approx(2 / 3)


def test_a_box_takes_the_best_thing_that_is_left():
    boxes = torch.tensor([[box(0, 0), box(0.4, 0)]])
    true_boxes, classes = torch.tensor([[box(0, 0), box(0.8, 0)]]), torch.tensor([[3, 3]])
    scores = torch.zeros(1, 4, 2)
    scores[0, 3] = torch.tensor([0.9, 0.8])
    hits = find_things(scores, boxes, true_boxes, classes)
    assert hits[0, 3].tolist() == [True, True]
    assert not hits[0, :3].any()


def test_a_class_of_which_there_is_nothing_has_no_precision():
    scores, hits = torch.ones(2, 3), torch.tensor([[True, False, False], [False, False, False]])
    found = average_precision(scores, hits, torch.tensor([1, 0]))
    assert found[0] == 1
    assert found[1].isnan()


@pytest.mark.parametrize("seed", range(3))
def test_against_a_slow_way(seed):
    """The same by loops over images, boxes and ranks."""
    own = torch.Generator().manual_seed(seed)
    n, c, k, m = 20, 3, 6, 4
    corners = torch.rand(n, k + m, 2, generator=own) * 3
    every = torch.cat([corners, corners + 1 + torch.rand(n, k + m, 2, generator=own)], -1)
    boxes, true_boxes = every[:, :k], every[:, k:]
    classes = torch.randint(-1, c, (n, m), generator=own)
    classes[classes < 0] = UNLABELLED
    scores = torch.rand(n, c, k, generator=own)
    overlap, expected = box_iou(boxes, true_boxes), []
    for kind in range(c):
        ranked = sorted(((scores[i, kind, j].item(), i, j) for i in range(n) for j in range(k)), reverse=True)
        taken, right, points = set(), 0, []
        for rank, (_, i, j) in enumerate(ranked, 1):
            free = [t for t in range(m) if classes[i, t] == kind and (i, t) not in taken]
            best = max(free, key=lambda t: overlap[i, j, t], default=None)
            if best is not None and overlap[i, j, best] >= 0.5:
                taken.add((i, best))
                right += 1
                points.append((right, rank))
        total = int((classes == kind).sum())
        area = sum(max(r / at for r, at in points[p:]) for p in range(len(points))) / total
        expected.append(area)
    hits = find_things(scores, boxes, true_boxes, classes)
    totals = torch.stack([(classes == kind).sum() for kind in range(c)])
    found = average_precision(*(each.transpose(0, 1).flatten(1) for each in (scores, hits)), totals)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
