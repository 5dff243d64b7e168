"""How a detector is built, asked and measured."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.errors import DataError, ModelError
from tutelage.evaluation import jackknife
from tutelage.tasks.detection import boxes, models
from tutelage.tasks.detection.cells import cell_targets
from tutelage.tasks.detection.exam import BOXES, BoxExam
from tutelage.types import Batch, Outputs

CPU = torch.device("cpu")


def answer_of(network: nn.Module):
    return lambda batch: capture(network, batch.inputs, BoxExam.layers)


@pytest.fixture(scope="module")
def problem():
    return boxes(data="sklearn.digits", scenes=120, validation=0.2, test=0.3)


@pytest.fixture(scope="module")
def batch(problem) -> Batch:
    return problem.train.batch(range(120))


def knowing(batch: Batch) -> Outputs:
    """The answer of somebody who knows the labels."""
    targets = cell_targets(batch.labels, 9)
    kinds = torch.where(targets.filled, targets.classes, 10)
    return Outputs(nn.functional.one_hot(kinds, 11).float() * 20, {BOXES: targets.boxes})


def test_a_detector():
    network = models.grid_detector(num_classes=10, in_channels=1, widths=[4, 6, 8])
    found = network(torch.rand(5, 1, 24, 24))
    assert {name: list(held.shape) for name, held in found.items()} == {
        "logits": [5, 9, 11],
        "boxes": [5, 9, 4],
    }
    middle = (found["boxes"][..., :2] + found["boxes"][..., 2:]) / 2 * 3
    cells = torch.stack([torch.arange(3).repeat(3), torch.arange(3).repeat_interleave(3)], -1)
    assert torch.equal(middle.floor(), cells.expand(5, 9, 2).float())
    with pytest.raises(ModelError, match="give sides that are multiples of 8"):
        network(torch.rand(1, 1, 20, 24))
    with pytest.raises(ModelError, match="blocks must be an integer of at least 1"):
        models.grid_detector(num_classes=10, in_channels=1, widths=[])


def test_who_knows_everything_has_all_and_who_knows_nothing_has_next_to_nothing(problem, batch):
    exam = problem.exam
    assert exam.measure(exam.ask(knowing, [batch], device=CPU)) == {
        "mean_average_precision": 1.0,
        "worst_class_average_precision": 1.0,
    }
    same = Outputs(torch.zeros(1, 9, 11), {BOXES: knowing(batch).features[BOXES].sum(0, keepdim=True) / 27})

    def blind(batch: Batch) -> Outputs:
        held = same.features[BOXES].expand(len(batch), -1, -1)
        return Outputs(same.logits.expand(len(batch), -1, -1), {BOXES: held})

    assert exam.measure(exam.ask(blind, [batch], device=CPU))["mean_average_precision"] < 0.05


def test_answers_are_those_of_images_in_any_batches(problem, batch):
    network = models.grid_detector(num_classes=10, in_channels=1, widths=[4, 6, 8])
    exam = problem.exam
    whole = exam.ask(answer_of(network), [batch], device=CPU)
    parts = [problem.train.batch(range(start, start + 40)) for start in (0, 40, 80)]
    cut = exam.ask(answer_of(network), parts, device=CPU)
    assert len(whole) == 120
    assert torch.equal(whole.ids, cut.ids)
    torch.testing.assert_close(whole.scores, cut.scores)
    assert torch.equal(whole.totals.sum(0), cut.totals.sum(0))
    mask = torch.arange(120) < 50
    masked = Batch(batch.inputs, batch.ids, batch.labels, mask=mask)
    assert exam.ask(answer_of(network), [masked], device=CPU).ids.tolist() == list(range(50))


def test_the_jackknife_runs_over_images(problem, batch):
    exam = problem.exam

    def half(batch: Batch) -> Outputs:
        held = knowing(batch)
        return Outputs(torch.where((batch.ids % 2 == 0).view(-1, 1, 1), held.logits, 0.0), held.features)

    answers = exam.ask(half, [batch], device=CPU)
    assert exam.per_example(answers) is None
    clusters = exam.clusters(answers, problem.train)
    assert torch.equal(clusters, torch.arange(120))
    shared = jackknife(lambda held: exam.measure(held)[exam.metric], answers, clusters)
    assert len(shared) == 100
    assert shared.mean().item() == pytest.approx(exam.measure(answers)[exam.metric])
    assert shared.std() > 0


def test_what_the_student_alone_learns_by(problem):
    assert [match.name for match in problem.exam.alone()] == ["CellLabel", f"CellBox({BOXES})"]
    assert problem.exam.calibration(None) == {}


def spoilt(batch: Batch, **changes: Tensor | None) -> Outputs:
    held = knowing(batch)
    features = {BOXES: changes.get("boxes", held.features[BOXES])}
    return Outputs(changes.get("logits", held.logits), features)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": None}, "logits came as none"),
        ({"boxes": torch.zeros(120, 4, 4)}, r"boxes as \[120, 4, 4\]"),
        ({"logits": torch.zeros(120, 9, 10)}, "tells 10 classes apart"),
        ({"boxes": torch.full((120, 9, 4), torch.nan)}, "NaN or infinite"),
    ],
)
def test_answers_of_no_detector(problem, batch, changes, message):
    with pytest.raises(ModelError, match=message):
        problem.exam.ask(lambda each: spoilt(each, **changes), [batch], device=CPU)


def test_labels_of_no_detector(problem, batch):
    plain = Batch(batch.inputs, batch.ids, torch.zeros(120))
    with pytest.raises(DataError, match="labels came as Tensor"):
        problem.exam.ask(lambda _: knowing(batch), [plain], device=CPU)
    with pytest.raises(DataError, match="not one image"):
        problem.exam.ask(knowing, [], device=CPU)
