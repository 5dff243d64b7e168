import pytest
import torch
from torch import nn

from tutelage.errors import DataError, ModelError
from tutelage.evaluation import Predictions, predict
from tutelage.modes import evaluating
from tutelage.types import UNLABELLED, Batch, Outputs


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))

    def forward(self, batch):
        return Outputs(logits=self.network(batch.inputs))


def echo(batch):
    return Outputs(logits=batch.inputs)


def batch_of(rows, *, first=0, labels=None, mask=None):
    inputs = torch.tensor(rows)
    return Batch(inputs, torch.arange(first, first + len(inputs)), labels, mask)


def test_predictions_hold_logits_labels_ids_and_what_follows_from_them():
    first = batch_of([[0.0, 2.0], [3.0, 0.0]], labels=torch.tensor([1, 0]))
    second = batch_of([[1.0, 1.0]], first=7, labels=torch.tensor([1]))
    found = predict(echo, [first, second], device="cpu")
    assert len(found) == 3
    assert found.ids.tolist() == [0, 1, 7]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.classes.tolist() == [1, 0, 0]
    assert found.logits.dtype == torch.float32
    assert found.labels.dtype == found.ids.dtype == torch.int64
    assert not found.logits.is_inference()
    torch.testing.assert_close(found.probs[2], torch.tensor([0.5, 0.5], dtype=torch.float64))
    torch.testing.assert_close(found.log_probs.exp(), found.probs)


def test_masked_items_are_left_out():
    masked = batch_of(
        [[1.0, 0.0], [0.0, 1.0], [float("nan"), 0.0]],
        labels=torch.tensor([0, 1, 1]),
        mask=torch.tensor([True, True, False]),
    )
    found = predict(echo, [masked], device="cpu")
    assert found.ids.tolist() == [0, 1]


def test_examples_without_labels_are_kept_as_unlabelled():
    found = predict(echo, [batch_of([[1.0, 0.0]])], device="cpu")
    assert found.labels.tolist() == [UNLABELLED]
    with pytest.raises(DataError, match="none of the 1 examples has a label"):
        _ = found.labelled


def test_half_precision_logits_become_float32():
    found = predict(
        lambda batch: Outputs(logits=batch.inputs.bfloat16()), [batch_of([[1.0, 0.0]])], device="cpu"
    )
    assert found.logits.dtype == torch.float32


@pytest.mark.parametrize(
    "batches", [[], [batch_of([[1.0, 0.0]], labels=torch.tensor([0]), mask=torch.tensor([False]))]]
)
def test_an_empty_set_is_an_error(batches):
    with pytest.raises(DataError, match="not one example"):
        predict(echo, batches, device="cpu")


def test_non_finite_logits_are_counted_by_example():
    rows = [[1.0, 0.0], [float("nan"), float("inf")], [0.0, float("-inf")]]
    with pytest.raises(ModelError, match="for 2 of 3 examples"):
        predict(echo, [batch_of(rows)], device="cpu")


@pytest.mark.parametrize("logits", [None, torch.zeros(2), torch.zeros(3, 2), torch.zeros(2, 4, 5, 6)])
def test_logits_of_another_shape_are_an_error(logits):
    with pytest.raises(ModelError, match=r"\[2, classes\]"):
        predict(lambda batch: Outputs(logits=logits), [batch_of([[1.0], [2.0]])], device="cpu")


def test_unequal_widths_are_an_error():
    with pytest.raises(ModelError, match=r"\[1, 2\] classes"):
        predict(echo, [batch_of([[1.0]]), batch_of([[1.0, 2.0]])], device="cpu")


@pytest.mark.parametrize("labels", [torch.tensor([0.5]), torch.tensor([[1]])])
def test_labels_that_are_no_class_indices_are_an_error(labels):
    with pytest.raises(DataError, match="one class index for each example"):
        predict(echo, [batch_of([[1.0, 2.0]], labels=labels)], device="cpu")


def test_a_mask_over_tokens_is_an_error():
    with pytest.raises(DataError, match="one mask value for each example"):
        predict(echo, [batch_of([[1.0, 2.0]], mask=torch.ones(1, 4))], device="cpu")


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_out_of_range_are_an_error(label):
    with pytest.raises(DataError, match=r"2 classes \(0 … 1\)"):
        predict(echo, [batch_of([[1.0, 2.0]], labels=torch.tensor([label]))], device="cpu")


def test_shapes_of_predictions_must_fit():
    with pytest.raises(DataError, match=r"logits \[N, C\]"):
        Predictions(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), torch.arange(2))


def test_each_submodule_gets_its_own_mode_back():
    student = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()), nn.Dropout())
    student.train()
    student[1][0].eval()
    other = nn.Dropout().eval()
    with evaluating(student, other):
        assert not any(module.training for module in [*student.modules(), other])
    assert not student[1][0].training
    assert not other.training
    assert all(module.training for module in (student, student[0], student[1], student[1][1], student[2]))


def test_modes_come_back_after_an_error():
    student = nn.Dropout().train()
    with pytest.raises(RuntimeError, match="stop"), evaluating(student):
        raise RuntimeError("stop")
    assert student.training


def test_a_module_is_asked_in_eval_mode_and_without_a_graph():
    student = Wrapped().train()
    student.network[1].eval()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    batches = [batch_of([[1.0, 2.0], [3.0, 4.0]])]
    first, second = (predict(student, batches, device="cpu") for _ in range(2))
    assert torch.equal(first.logits, second.logits)
    assert not first.logits.requires_grad
    assert student.training
    assert student.network[2].training
    assert not student.network[1].training
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name])
