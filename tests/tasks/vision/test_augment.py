"""Changes of training images, random by example and epoch."""

from __future__ import annotations

import pytest
import torch

from tutelage.data import Examples, Loader
from tutelage.errors import RecipeError, UnknownName
from tutelage.tasks.vision.augment import Augment
from tutelage.types import Batch

SIZE = 7


def pictures(count: int = 200, channels: int = 2) -> Batch:
    """Each pixel says where it was: rows in the first channel, columns in the second."""
    rows = torch.arange(float(SIZE))[:, None].expand(SIZE, SIZE)
    one = torch.stack([rows, rows.T][:channels])
    return Batch(one.expand(count, channels, SIZE, SIZE), torch.arange(count))


def test_shifts_are_whole_pixels_in_range_and_all_occur():
    seen = Augment(jitter=2)(pictures(), 0).inputs
    middle = SIZE // 2
    down, right = (seen[:, axis, middle, middle] - middle for axis in (0, 1))
    assert set(down.tolist()) == set(right.tolist()) == {-2, -1, 0, 1, 2}
    assert abs(float(torch.corrcoef(torch.stack([down, right]))[0, 1])) < 0.2


def test_edges_are_repeated():
    seen = Augment(jitter=3)(pictures(), 0).inputs
    rows = torch.arange(float(SIZE))
    for picture in seen:
        down = picture[0, SIZE // 2, 0] - SIZE // 2
        right = picture[1, 0, SIZE // 2] - SIZE // 2
        assert torch.equal(picture[0], (rows + down).clamp(0, SIZE - 1)[:, None].expand(SIZE, SIZE))
        assert torch.equal(picture[1], (rows + right).clamp(0, SIZE - 1).expand(SIZE, SIZE))


def test_half_of_the_images_are_mirrored():
    seen = Augment(flip=True)(pictures(), 3).inputs
    mirrored = seen[:, 1, 0, 0] == SIZE - 1
    assert 70 < int(mirrored.sum()) < 130
    assert torch.equal(seen[mirrored], pictures().inputs[mirrored].flip(-1))
    assert torch.equal(seen[~mirrored], pictures().inputs[~mirrored])


def test_a_view_of_an_example_is_the_same_whatever_its_batch():
    change, whole = Augment(jitter=3, flip=True), pictures(20)
    together = change(whole, 5).inputs
    for i in range(20):
        alone = change(Batch(whole.inputs[i : i + 1], whole.ids[i : i + 1]), 5).inputs
        assert torch.equal(alone[0], together[i])
    assert not torch.equal(change(whole, 6).inputs, together)
    assert torch.equal(change(whole, 5).inputs, together)


def test_a_loader_changes_the_view_with_the_epoch():
    source = Examples(pictures(20).inputs.clone())
    loader = Loader(source, batch_size=6, transform=Augment(jitter=2), seed=1)

    def views(epoch):
        pairs = [(int(i), x) for (b,) in loader.epoch(epoch) for i, x in zip(b.ids, b.inputs, strict=True)]
        return torch.stack([x for _, x in sorted(pairs, key=lambda pair: pair[0])])

    assert torch.equal(views(2), views(2))
    assert not torch.equal(views(2), views(3))


def test_nothing_asked_changes_nothing_and_what_came_is_kept():
    batch = pictures(4)
    assert torch.equal(Augment()(batch, 0).inputs, batch.inputs)
    changed = Augment(jitter=1, flip=True)(batch, 0)
    assert changed.ids is batch.ids
    assert torch.equal(batch.inputs, pictures(4).inputs)
    assert changed.inputs.is_contiguous()


def test_settings_of_a_recipe():
    assert Augment.of({"jitter": 2, "flip": True}).jitter == 2
    with pytest.raises(UnknownName, match=r"unknown augmentation 'jiter'\. Nearest: 'jitter'"):
        Augment.of({"jiter": 2})
    with pytest.raises(RecipeError, match="jitter is -1"):
        Augment.of({"jitter": -1})
