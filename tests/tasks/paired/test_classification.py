"""Pairs whose parts are read by different networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tutelage.capture import capture
from tutelage.data import Noise, reading
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.tasks.paired import classification

READS = {"teacher": ["image"], "student": ["projections"]}
DIGITS = {"data": "sklearn.digits", "projections": "image", "reads": READS, "validation": 0.2, "test": 0.3}


def test_the_parts_of_a_digit():
    problem = classification(**DIGITS, standardise=False)
    batch = problem.train.batch(range(5))
    assert {name: list(held.shape) for name, held in batch.inputs.items()} == {
        "image": [5, 8, 8],
        "projections": [5, 16],
    }
    across, down = batch.inputs["projections"].split(8, dim=1)
    torch.testing.assert_close(across, batch.inputs["image"].sum(1))
    torch.testing.assert_close(down, batch.inputs["image"].sum(2))
    assert sum(map(len, (problem.train, problem.validation, problem.test))) == 1797
    assert problem.network_options == {"num_classes": 10}
    assert problem.chance == pytest.approx(0.1, abs=0.01)


def test_each_part_is_scaled_by_the_training_rows():
    problem = classification(**DIGITS)
    rows = problem.train.batch(range(len(problem.train))).inputs
    for held in rows.values():
        assert held.mean(0).abs().max() < 1e-4
        assert held.std(0).max() <= 1.001
    test = problem.test.batch(range(len(problem.test))).inputs["projections"]
    assert test.mean(0).abs().max() > 0.02


def test_a_network_is_called_with_its_part_alone():
    problem = classification(**DIGITS)
    batch = problem.train.batch([0, 1])
    seen = reading(batch, problem.reads["student"]).inputs
    assert torch.equal(seen, batch.inputs["projections"])
    assert problem.of_teacher.reads == {"student": ("image",)}


def test_noise_is_drawn_for_each_part():
    noise = Noise(classification(**DIGITS).train).batch([3, 4])
    assert {name: list(held.shape) for name, held in noise.inputs.items()} == {
        "image": [2, 8, 8],
        "projections": [2, 16],
    }


class Both(torch.nn.Module):
    """Reads two parts by their names."""

    def forward(self, near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        return torch.cat([near, far], 1)


def table(rows: int = 24) -> str:
    own = np.random.RandomState(0)
    lines = [f"{own.rand():.4f},{own.rand():.4f},{own.rand():.4f},{i % 2},x" for i in range(rows)]
    return "\n".join(["near,far,other,class,who", *lines]) + "\n"


def write(tmp_path, text: str) -> str:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    return str(path)


def test_a_table_of_two_sensors(tmp_path):
    reads = {"teacher": ["near", "far"], "student": ["far"]}
    problem = classification(data=write(tmp_path, table()), reads=reads, validation=4, test=4)
    batch = problem.train.batch([0, 1, 2])
    assert set(batch.inputs) == {"near", "far"}
    seen = reading(batch, problem.reads["teacher"]).inputs
    answer = capture(Both(), seen).logits
    torch.testing.assert_close(answer, torch.cat([batch.inputs["near"], batch.inputs["far"]], 1))
    assert reading(batch, problem.reads["student"]).inputs.shape == (3, 1)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"reads": {}}, RecipeError, "names nobody"),
        ({"reads": {"student": "near"}}, RecipeError, "task.reads.student came as 'near'"),
        ({"reads": {"student": []}}, RecipeError, "expected a list of at least one column"),
        ({"reads": {"student": ["naer"]}}, UnknownName, "unknown column 'naer'.*Nearest: 'near'"),
        ({"reads": {"student": ["projections"]}}, UnknownName, "unknown column 'projections'"),
        ({"reads": {"student": ["who"]}}, DataError, "the column 'who' is not made of numbers"),
        (
            {"reads": {"student": ["projections"]}, "projections": "near"},
            DataError,
            r"projections are made of images \[height, width\]",
        ),
        ({"reads": {"student": ["near"]}, "projections": "far away"}, UnknownName, "'far away'"),
        ({"reads": {"student": ["near"]}, "watch": [2]}, DataError, "watch names the class 2"),
    ],
)
def test_what_cannot_be_read(tmp_path, options, kind, message):
    with pytest.raises(kind, match=message):
        classification(data=write(tmp_path, table()), validation=4, test=4, **options)


def test_a_hole_in_a_part(tmp_path):
    text = table().replace("\n0.5488", "\n", 1)
    with pytest.raises(DataError, match="'near' has 1 missing or infinite values"):
        classification(data=write(tmp_path, text), validation=4, test=4, reads={"student": ["near"]})
