from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tutelage.data import Examples, Loader, Showing, Subset, Views, is_steady, keys_of, uniform
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.types import UNLABELLED, Batch

SOURCE = Examples(torch.randn(23, 3, generator=torch.Generator().manual_seed(0)), torch.arange(23) % 4)


def shift(batch: Batch, view: int) -> Batch:
    """A stand-in for a crop: each example moves by a number of its own."""
    return replace(batch, inputs=batch.inputs + uniform(batch.ids, seed=view, draw="shift").float()[:, None])


def seen(loader: Loader, epoch: int, start: int = 0) -> dict[int, list[torch.Tensor]]:
    found = {}
    for micros in loader.epoch(epoch, start):
        for batch in micros:
            if batch.mask is None:
                found |= {
                    int(i): [x, t] for i, x, t in zip(batch.ids, batch.inputs, shown(batch), strict=True)
                }
    return found


def shown(batch: Batch) -> torch.Tensor:
    return batch.inputs if batch.shown is None else batch.shown


def same(one, other):
    assert one.keys() <= other.keys()
    assert all(torch.equal(a, b) for key in one for a, b in zip(one[key], other[key], strict=True))


WAYS = {
    "mix": Showing(shift, mixup=1.0),
    "uneven mix": Showing(mixup=0.4),
    "independent": Showing(shift, teacher="independent"),
    "fixed": Showing(shift, teacher="fixed"),
    "plain": Showing(shift, teacher="plain"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_example_is_shown_alike_whatever_its_batch_process_and_resumption(way):
    whole = Loader(SOURCE, batch_size=8, seed=3, transform=way)
    expected = seen(whole, 2)
    assert len(expected) == 23
    same(seen(Loader(SOURCE, batch_size=5, seed=3, transform=way), 2), expected)
    same(seen(Loader(SOURCE, batch_size=8, seed=3, transform=way, accumulate=3), 2), expected)
    for rank in (0, 1):
        same(seen(Loader(SOURCE, batch_size=8, seed=3, transform=way, rank=rank, world=2), 2), expected)
    same(seen(whole, 2, start=1), expected)
    again = [batch.inputs for micros in whole.epoch(2) for batch in micros]
    other = [batch.inputs for micros in whole.epoch(3) for batch in micros]
    assert not any(torch.equal(a, b) for a, b in zip(again, other, strict=True))


def test_a_mix_is_worked_out_by_hand():
    batch = Views(SOURCE, Showing(mixup=1.0), 11)[[[4, 9]]][0]
    ids = torch.tensor([4, 9])
    partners = (uniform(ids, seed=11, draw="partner") * 23).long()
    shares = uniform(ids, seed=11, draw="share").float()[:, None]  # Beta(1, 1) is uniform
    expected = shares * SOURCE.inputs[ids] + (1 - shares) * SOURCE.inputs[partners]
    torch.testing.assert_close(batch.inputs, expected)
    assert batch.labels.tolist() == [UNLABELLED] * 2
    assert batch.shown is None


def test_shares_follow_their_distribution():
    many = Examples(torch.cat([torch.zeros(3000, 1), torch.ones(3000, 1)]))
    for mixup, variance in ((1.0, 1 / 12), (4.0, 1 / 36)):
        mixed = Views(many, Showing(mixup=mixup), 1)[[list(range(6000))]][0].inputs
        between = mixed[(mixed > 0) & (mixed < 1)]
        assert between.mean().item() == pytest.approx(0.5, abs=0.02)
        assert between.var().item() == pytest.approx(variance, rel=0.1)


def test_partners_come_from_the_part_that_is_trained_on():
    part = Subset(Examples(torch.arange(40.0)[:, None]), range(30, 40))
    mixed = Views(part, Showing(mixup=1.0), 5)[[list(range(10))]][0]
    assert float(mixed.inputs.min()) >= 30
    assert mixed.ids.tolist() == list(range(30, 40))


def test_what_the_teacher_is_shown():
    plain, fixed, own = (Showing(shift, teacher=kind) for kind in ("plain", "fixed", "independent"))
    numbers = [[1, 2, 3]]
    one, two = (Views(SOURCE, plain, view)[numbers][0] for view in (4, 5))
    assert torch.equal(one.shown, SOURCE.inputs[1:4])
    assert not torch.equal(one.inputs, two.inputs)
    one, two = (Views(SOURCE, fixed, view)[numbers][0] for view in (4, 5))
    assert torch.equal(one.shown, two.shown)
    assert not torch.equal(one.shown, SOURCE.inputs[1:4])
    one, two = (Views(SOURCE, own, view)[numbers][0] for view in (4, 5))
    assert not torch.equal(one.shown, two.shown)
    assert not torch.equal(one.shown, one.inputs)
    assert [is_steady(each) for each in (None, shift, plain, fixed, own)] == [True, False, True, True, False]


def test_stored_answers_are_found_by_what_the_teacher_is_shown():
    one, two = (Views(SOURCE, Showing(shift, teacher="plain"), view, keyed=True)[[[7]]][0] for view in (1, 2))
    assert torch.equal(one.keys, two.keys)
    assert torch.equal(one.keys, keys_of(SOURCE.batch([7])))


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(RecipeError, match="no augmentation"):
        Showing(teacher="fixed")
    with pytest.raises(RecipeError, match="mix of two"):
        Showing(shift, mixup=1.0, teacher="plain")
    with pytest.raises(RecipeError, match="above 0"):
        Showing(mixup=0.0)
    with pytest.raises(UnknownName, match="independent"):
        Showing(shift, teacher="independant")
    with pytest.raises(DataError, match="over"):
        Showing(mixup=1.0)(SOURCE.batch([0]), 1)
    with pytest.raises(DataError, match="int64"):
        Views(Examples(torch.arange(6)[:, None]), Showing(mixup=1.0), 1)[[[0, 1]]]


def test_another_view_moves_with_its_batch():
    batch = Views(SOURCE, Showing(shift, teacher="plain"), 1)[[[0, 1]]][0].to("meta")
    assert batch.shown.device.type == "meta"
