"""Exams of answers that are not one class, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.errors import DataError, ModelError
from tutelage.tasks.collected import Collected
from tutelage.tasks.metric import Metric, MetricExam
from tutelage.tasks.other_exams import AgreementExam, LabelsExam, SharesExam, ValuesExam
from tutelage.types import Batch, Outputs

NAN = torch.nan


def collected(outputs: list[list[float]], labels: list[list[float]]) -> Collected:
    return Collected(
        torch.tensor(outputs).double(), torch.tensor(labels).double(), torch.arange(len(outputs))
    )


def test_numbers():
    held = collected([[1.0], [2.0], [5.0]], [[0.0], [2.0], [4.0]])
    found = ValuesExam().measure(held)
    # gaps 1, 0, 1; labels have mean 2 and variance 8/3
    assert found == pytest.approx({"mse": 2 / 3, "rmse": (2 / 3) ** 0.5, "mae": 2 / 3, "r2": 0.75})
    assert ValuesExam().per_example(held).tolist() == [1.0, 0.0, 1.0]


def test_examples_come_in_the_order_of_their_ids():
    held = collected([[1.0], [2.0], [5.0]], [[0.0], [2.0], [3.0]]).take(torch.tensor([2, 0, 1]))
    assert ValuesExam().per_example(held).tolist() == [1.0, 0.0, 4.0]


def test_several_labels():
    held = collected([[2.0, -1.0], [-1.0, 0.25], [0.25, -2.0]], [[1, 0], [0, 0], [0, 1]])
    found = LabelsExam(2).measure(held)
    # right: yes no, yes no, no no: three of six; both said and true 1, said 3, true 2
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["micro_f1"] == pytest.approx(2 / 5)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    # ranked by score: the first label's only one is first (1); the second's is last of three (1/3)
    assert found["mean_average_precision"] == pytest.approx((1 + 1 / 3) / 2)
    assert LabelsExam(2).metric == "mean_average_precision"
    assert LabelsExam(2).per_example(held) is None


def test_yes_or_no_is_measured_by_accuracy_of_what_is_known():
    held = collected([[2.0], [-1.0], [1.0]], [[1], [NAN], [0]])
    exam = LabelsExam(1)
    assert exam.metric == "accuracy"
    assert exam.measure(held)["accuracy"] == 0.5
    assert exam.per_example(held).tolist() == [1.0, 0.0]


def ask(exam, outputs: torch.Tensor, labels: torch.Tensor | None):
    batch = Batch(torch.zeros(len(outputs), 1), torch.arange(len(outputs)), labels)
    return exam.ask(lambda _: Outputs(outputs), [batch], device=torch.device("cpu"))


def test_shares_are_the_class_of_the_greatest_and_empty_ones_no_label():
    shares = torch.tensor([[0.2, 0.8], [0.6, 0.4], [0.0, 0.0]])
    held = ask(SharesExam(), torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), shares)
    assert SharesExam().measure(held)["accuracy"] == 0.5


def test_agreement():
    held = ask(AgreementExam(), torch.eye(3), torch.tensor([0, 1, 1]))
    assert AgreementExam().measure(held) == pytest.approx({"agreement": 2 / 3, "disagreements": 1})


def test_nothing_to_measure_is_said():
    with pytest.raises(DataError, match="none of the 1 examples has a label"):
        ValuesExam().measure(collected([[1.0]], [[NAN]]))
    with pytest.raises(DataError, match="one label is expected for each output"):
        ask(ValuesExam(), torch.zeros(2, 3), torch.zeros(2, 1))
    with pytest.raises(ModelError, match="NaN or infinite for 1 of 2"):
        ask(ValuesExam(), torch.tensor([[NAN], [0.0]]), torch.zeros(2, 1))


class Stateful(nn.Module):
    """What a metric of torchmetrics looks like."""

    higher_is_better = False

    def reset(self) -> None:
        self.total = 0.0

    def update(self, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        self.total += float((outputs - labels).abs().sum())

    def compute(self) -> float:
        return self.total


def test_a_metric_of_ones_own_comes_first_and_the_others_stand_beside():
    exam = MetricExam(ValuesExam(), Metric(Stateful()))
    held = collected([[1.0], [3.0]], [[0.0], [1.0]])
    assert (exam.metric, exam.higher_is_better) == ("stateful", False)
    assert exam.measure(held)["stateful"] == exam.measure(held)["stateful"] == 3.0  # nothing adds up
    assert "mse" in exam.measure(held)
    assert exam.per_example(held) is None
