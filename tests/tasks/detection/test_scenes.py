"""Pictures of several digits, and which cell answers for which."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import DataError
from tutelage.tasks.detection import boxes
from tutelage.tasks.detection.cells import cell_targets
from tutelage.tasks.detection.scenes import draw_scenes
from tutelage.types import UNLABELLED

IMAGES = torch.rand(12, 8, 8, generator=torch.Generator().manual_seed(0)) / 2 + 0.5
CLASSES = torch.arange(12) % 10


def scenes(count: int = 300, **options):
    held = {"canvas": 24, "most": 3, "seed": 0, "where": "train"} | options
    return draw_scenes(IMAGES, CLASSES, count=count, **held)


def everything(source):
    return source.batch(range(len(source)))


def test_what_stands_in_a_picture():
    batch = everything(scenes())
    boxes, classes = batch.labels["boxes"], batch.labels["classes"]
    known = classes != UNLABELLED
    assert (boxes[~known] == UNLABELLED).all()
    counts = known.sum(1).bincount(minlength=4)
    assert counts[0] == 0
    assert (counts[1:] - 100).abs().max() < 30
    edges = (boxes[known] * 24).round()
    torch.testing.assert_close(edges, boxes[known] * 24, atol=1e-4, rtol=0)
    assert 0 <= edges.min() <= edges.max() <= 24
    assert set((edges[:, 2] - edges[:, 0]).tolist()) == {7.0, 8.0, 9.0, 10.0}
    assert torch.equal(edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1])


def test_pixels_lie_in_the_boxes_and_nowhere_else():
    batch = everything(scenes(40))
    for picture, edges in zip(batch.inputs[:, 0], batch.labels["boxes"], strict=True):
        inside = torch.zeros(24, 24, dtype=torch.bool)
        for left, top, right, bottom in (edges[edges[:, 0] >= 0] * 24).round().long().tolist():
            inside[top:bottom, left:right] = True
        assert torch.equal(picture > 0, inside)


def test_no_two_things_share_a_cell():
    labels = everything(scenes(2000)).labels
    assert torch.equal(cell_targets(labels, 9).filled.sum(1), (labels["classes"] != UNLABELLED).sum(1))


def test_a_picture_depends_on_its_number_the_seed_and_the_part():
    few, many = everything(scenes(5)), everything(scenes(300))
    assert torch.equal(few.inputs, many.inputs[:5])
    assert not torch.equal(few.inputs, everything(scenes(5, seed=1)).inputs)
    assert not torch.equal(few.inputs, everything(scenes(5, where="test")).inputs)


@pytest.mark.parametrize("options", [{"canvas": 9}, {"most": 10}, {"most": 0}, {"count": 0}])
def test_what_does_not_fit(options):
    with pytest.raises(DataError, match=r"change task.scenes, task.canvas or task.most"):
        scenes(**{"count": 5} | options)


def test_the_cell_of_the_middle_answers():
    labels = {
        "boxes": torch.tensor([[[0.5, 0.0, 1.0, 0.5], [0.0, 0.1, 0.3, 0.7], [-100.0] * 4]]),
        "classes": torch.tensor([[7, 2, UNLABELLED]]),
    }
    found = cell_targets(labels, 4)
    assert found.filled.tolist() == [[True, True, False, False]]
    assert found.classes.tolist() == [[2, 7, 0, 0]]
    assert torch.equal(found.boxes[0, :2], labels["boxes"][0, [1, 0]])
    with pytest.raises(ValueError, match="5 cells came"):
        cell_targets(labels, 5)


def test_the_problem_of_digits():
    problem = boxes(data="sklearn.digits", scenes=100, validation=0.2, test=0.3)
    assert [len(part) for part in (problem.train, problem.validation, problem.test)] == [100, 25, 54]
    batch = problem.train.batch([3, 5])
    assert batch.inputs.shape == (2, 1, 24, 24)
    assert {name: list(held.shape) for name, held in batch.labels.items()} == {
        "boxes": [2, 3, 4],
        "classes": [2, 3],
    }
    assert problem.train.labels is None
    assert problem.network_options == {"num_classes": 10, "in_channels": 1}
    assert problem.num_classes is None
    assert len({part.fingerprint() for part in (problem.train, problem.validation, problem.test)}) == 3


def test_a_column_of_no_images():
    with pytest.raises(DataError, match="grey images of equal height and width are expected"):
        boxes(data="sklearn.digits", image="features")
