"""Images that are parameters: as many of each class, of the task's shape."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.tasks.vision import models


def test_learnt_images_have_each_class_as_often():
    images, classes = models.learnt_images(num_classes=3, in_channels=2, in_features=32, per_class=2)()
    assert images.shape == (6, 2, 4, 4)
    assert images.requires_grad
    assert classes.tolist() == [0, 0, 1, 1, 2, 2]


def test_images_that_are_no_squares_need_a_size():
    with pytest.raises(ModelError, match=r"none of 3 by 3 pixels; give size: \[height, width\]"):
        models.learnt_images(num_classes=3, in_channels=1, in_features=12, per_class=1)
    images, _ = models.learnt_images(num_classes=3, in_channels=1, in_features=12, per_class=1, size=[3, 4])()
    assert images.shape == (3, 1, 3, 4)


def test_they_begin_as_the_generator_draws_them():
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return models.learnt_images(num_classes=3, in_channels=1, in_features=16, per_class=1)()[0]

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
