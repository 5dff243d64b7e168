"""A new domain: what is changed, what is hidden, what stays as it is."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes import build, load
from tutelage.tasks.vision import classification
from tutelage.tasks.vision.domain import Domain
from tutelage.types import UNLABELLED


def digits(**options):
    return classification(data="sklearn.digits", **options)


def whole(source):
    return source.batch(range(len(source)))


@pytest.fixture(scope="module")
def plain():
    return digits()


@pytest.fixture(scope="module")
def inverted():
    return digits(domain={"invert": True, "share": 0.25})


def test_a_share_of_the_training_images_is_changed_and_has_no_label(plain, inverted):
    before, after = whole(plain.train), whole(inverted.train)
    hidden = after.labels == UNLABELLED
    assert int(hidden.sum()) == round(0.25 * len(plain.train))
    assert torch.equal(hidden, inverted.train.labels == UNLABELLED)
    assert torch.equal(after.labels[~hidden], before.labels[~hidden])
    assert torch.equal(after.inputs[~hidden], before.inputs[~hidden])
    torch.testing.assert_close(after.inputs[hidden], -before.inputs[hidden])  # of mean and std 0.5


def test_validation_stays_and_the_test_split_is_of_the_new_domain(plain, inverted):
    assert torch.equal(whole(inverted.validation).inputs, whole(plain.validation).inputs)
    torch.testing.assert_close(whole(inverted.test).inputs, -whole(plain.test).inputs)
    assert torch.equal(inverted.test.labels, plain.test.labels)


def test_what_is_drawn_depends_on_the_id_alone():
    pixels = torch.rand(6, 1, 8, 8)
    domain = Domain(shift=2, colour=True)
    ids = torch.tensor([5, 3, 8, 1, 0, 2])
    one = domain.change(pixels.expand(-1, 3, -1, -1), ids)
    other = domain.change(pixels.flip(0).expand(-1, 3, -1, -1), ids.flip(0)).flip(0)
    assert torch.equal(one, other)
    assert not torch.equal(one, Domain(shift=2, colour=True, seed=1).change(pixels, ids))


def test_a_shift_by_hand():
    image = torch.zeros(200, 1, 5, 5)
    image[:, 0, 2, 2] = 1
    places = Domain(shift=1).change(image, torch.arange(200)).flatten(2).argmax(2).flatten()
    assert set(places.tolist()) == {5 * row + column for row in (1, 2, 3) for column in (1, 2, 3)}


def test_colours_are_apart_and_grey_images_get_three_channels(plain):
    painted = Domain(colour=True).change(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), torch.tensor([4]))
    dark, bright = painted[0, :, 0, 0], painted[0, :, 0, 1]
    assert dark.max() <= 0.5
    assert bright.max() == 1
    coloured = digits(domain={"colour": True})
    assert coloured.network_options["in_channels"] == 3
    assert coloured.network_options["in_features"] == 3 * 64
    images = whole(coloured.train)
    known = images.labels != UNLABELLED
    assert torch.equal(images.inputs[known][:, 0], images.inputs[known][:, 2])
    assert torch.equal(images.inputs[known][:, :1], whole(plain.train).inputs[known])


def test_what_is_refused():
    with pytest.raises(RecipeError, match=r"task\.domain names no change"):
        digits(domain={"share": 0.5})
    with pytest.raises(UnknownName, match=r"'inverted'.*'invert'"):
        digits(domain={"inverted": True})
    with pytest.raises(RecipeError, match=r"share came as 1\.5"):
        digits(domain={"shift": 1, "share": 1.5})
    with pytest.raises(RecipeError, match="shift came as -1 pixels"):
        digits(domain={"shift": -1, "invert": True})


def test_teacher_and_control_learn_from_what_has_a_label():
    study = build(load("vision/digits", changes=["task.domain={shift: 2}", "transfer={}"]), "moved")
    for arm in (study.teacher.arms[0], study.arms["control"]):
        assert not bool((arm.source.labels == UNLABELLED).any())
        assert len(arm.source) < len(study.problem.train)
    assert study.arms["student"].source is study.problem.train
