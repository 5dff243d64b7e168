"""Answers about positions of examples: what is kept of them."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.errors import DataError
from tutelage.evaluation import Predictions, calibration, fidelity, next_token, predict
from tutelage.evaluation.sample import Sample
from tutelage.types import UNLABELLED, Batch, HeadLogits, Outputs


def echo(batch):
    return Outputs(batch.inputs)


def rows(count, length, classes, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count, length), generator=generator)
    mask = torch.rand(count, length, generator=generator) < 0.8
    logits = 3 * torch.randn(count, length, classes, generator=generator)
    return Batch(logits, torch.arange(count), torch.where(mask, labels, UNLABELLED), mask)


def flat(batch):
    keep = batch.mask
    return Predictions(batch.inputs[keep], batch.labels[keep], torch.arange(int(keep.sum())))


def test_positions_by_hand():
    logits = torch.tensor([[[0.5, 0.5], [0.25, 0.75]], [[0.9, 0.1], [torch.nan, 0.0]]]).log()
    batch = Batch(
        logits,
        torch.tensor([4, 2]),
        torch.tensor([[0, 0], [0, UNLABELLED]]),
        torch.tensor([[True, True], [True, False]]),
    )
    found = predict(echo, [batch], device="cpu")
    assert len(found) == 3
    assert found.classes.tolist() == [0, 1, 0]
    assert found.ids.tolist() == [4 * 2**20, 4 * 2**20 + 1, 2 * 2**20]
    assert found.scores.confidence.tolist() == pytest.approx([0.5, 0.75, 0.9])
    assert found.scores.squared_error.tolist() == pytest.approx([0.5, 2 * 0.75**2, 0.02])
    measured = next_token(found, lengths=torch.tensor([3, 1]))
    nll = -(math.log(0.5) + math.log(0.25) + math.log(0.9)) / 3
    assert measured["nll"] == pytest.approx(nll)
    assert measured["perplexity"] == pytest.approx(math.exp(nll))
    assert measured["accuracy"] == pytest.approx(2 / 3)
    assert measured["bits_per_byte"] == pytest.approx(3 * nll / math.log(2) / 9)
    assert "bits_per_byte" not in next_token(found)


def test_positions_are_measured_like_as_many_examples():
    batch = rows(50, 30, 7)
    found, same = predict(echo, [batch], device="cpu"), flat(batch)
    assert calibration(found) == calibration(same)
    assert next_token(found) == next_token(same)


@pytest.mark.parametrize("size", [1, 7, 60])
def test_the_batches_do_not_matter(size):
    batch = rows(60, 64, 5)
    parts = [
        Batch(*(held[some : some + size] for held in (batch.inputs, batch.ids, batch.labels, batch.mask)))
        for some in range(0, 60, size)
    ]
    whole, found = predict(echo, [batch], device="cpu"), predict(echo, parts, device="cpu")
    assert torch.equal(whole.logits, found.logits)
    assert torch.equal(whole.ids, found.ids)
    assert torch.equal(whole.scores.log_prob, found.scores.log_prob)


def test_a_network_is_asked_for_a_few_positions_at_a_time():
    asked = []

    def answer(batch):
        asked.append(batch.inputs.shape[:2].numel())
        return Outputs(batch.inputs)

    predict(answer, [rows(20, 1000, 2)], device="cpu")
    assert asked == [2000] * 10


def test_logits_of_a_sample_are_kept():
    found = predict(echo, [rows(100, 50, 6)], device="cpu")
    assert len(found) > 3900
    assert len(found.logits) == len(found.sampled) == 2048
    assert len(found.sample) == 2048
    assert torch.equal(found.sample.classes, found.logits.argmax(-1))
    assert float(found.sampled.double().mean() / len(found)) == pytest.approx(0.5, abs=0.03)
    few = found.take(torch.arange(100))
    assert torch.equal(few.sample.classes, few.logits.argmax(-1))


@pytest.mark.slow
def test_large_vocabularies_keep_fewer():
    sample = Sample(limited=True)
    sample.add(torch.zeros(1, 1).expand(300, 2**19), torch.arange(300))
    logits, places = sample.gathered()
    assert len(logits) == len(places) == 128
    assert places.tolist() == sorted(places.tolist())


def test_fidelity_of_all_and_of_the_sample():
    teacher, student = rows(100, 50, 6), rows(100, 50, 6, seed=1)
    student = Batch(teacher.inputs + student.inputs, teacher.ids, teacher.labels, teacher.mask)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(3))
    mixed = Batch(student.inputs[order], order, student.labels[order], student.mask[order])
    ours, theirs = predict(echo, [mixed], device="cpu"), predict(echo, [teacher], device="cpu")
    found, whole = fidelity(ours, theirs), fidelity(flat(student), flat(teacher))
    assert found["agreement"] == whole["agreement"]
    assert found["teacher_errors"] == whole["teacher_errors"]
    assert found["agreement_on_teacher_errors"] == whole["agreement_on_teacher_errors"]
    assert found["kl"] == pytest.approx(whole["kl"], rel=0.1)
    assert sum(point["count"] for point in found["bins"]) == 2048
    itself = fidelity(theirs, theirs)
    assert (itself["agreement"], itself["kl"]) == (1, 0)


def test_answers_with_logits_of_other_items_are_refused():
    found = predict(echo, [rows(100, 50, 6)], device="cpu")
    other = Predictions(
        found.logits[1:], found.labels, found.ids, scores=found.scores, sampled=found.sampled[1:]
    )
    with pytest.raises(ValueError, match="logits are of 2047 items"):
        fidelity(other, found)


def test_a_head_answers_like_its_logits():
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(5, 9, 4, generator=generator), torch.randn(11, 4, generator=generator)
    batch = rows(5, 9, 11)
    head = HeadLogits(hidden, weight, scale=0.5, cap=2.0)
    ours = predict(lambda _: Outputs(head=head), [batch], device="cpu")
    theirs = predict(lambda _: Outputs(head.whole()), [batch], device="cpu")
    torch.testing.assert_close(ours.logits, theirs.logits)
    assert torch.equal(ours.classes, theirs.classes)
    assert ours.num_classes == 11


def test_a_mask_of_examples_covers_their_positions():
    batch = rows(3, 4, 2)
    some = Batch(batch.inputs, batch.ids, batch.labels, torch.tensor([True, False, True]))
    assert len(predict(echo, [some], device="cpu")) == 8


def test_positions_without_labels():
    batch = rows(2, 3, 4)
    found = predict(echo, [Batch(batch.inputs, batch.ids)], device="cpu")
    assert found.labels.tolist() == [UNLABELLED] * 6
    assert bool(found.scores.log_prob.isnan().all())
    with pytest.raises(DataError, match="has a label"):
        next_token(found)


def test_labels_and_masks_of_another_shape():
    batch = rows(2, 3, 4)
    with pytest.raises(DataError, match="one class index for each position"):
        predict(echo, [Batch(batch.inputs, batch.ids, batch.labels[:, :2])], device="cpu")
    with pytest.raises(DataError, match="one mask value for each position"):
        predict(echo, [Batch(batch.inputs, batch.ids, batch.labels, batch.mask[:, :2])], device="cpu")
