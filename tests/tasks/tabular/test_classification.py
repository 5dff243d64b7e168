"""Classes of rows of numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tutelage.errors import DataError, UnknownName
from tutelage.tasks.tabular import classification


def test_breast_cancer():
    problem = classification(data="sklearn.breast_cancer", watch=[0])
    assert sum(map(len, (problem.train, problem.validation, problem.test))) == 569
    assert problem.class_names == ("malignant", "benign")
    assert problem.network_options == {"num_classes": 2, "in_features": 30}
    assert problem.chance == pytest.approx(0.63, abs=0.02)
    rows = problem.train.batch(range(len(problem.train))).inputs
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.mean(0), torch.zeros(30), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows.std(0), torch.ones(30), atol=1e-4, rtol=0)


def test_the_test_rows_do_not_shape_the_scale():
    problem = classification(data="sklearn.breast_cancer")
    rows = problem.test.batch(range(len(problem.test))).inputs
    assert float(rows.mean(0).abs().max()) > 0.02


def test_digits_without_their_images():
    problem = classification(data="sklearn.digits", standardise=False)
    assert problem.network_options["in_features"] == 64
    assert float(problem.train.batch([0, 1]).inputs.max()) == 16


def write(tmp_path, text: str):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return str(path)


def table(rows: int = 20) -> str:
    own = np.random.RandomState(0)
    lines = [f"{own.rand():.4f},{own.rand():.4f},{i % 2},name{i}" for i in range(rows)]
    return "\n".join(["width,height,class,who", *lines]) + "\n"


def test_a_csv(tmp_path):
    problem = classification(
        data=write(tmp_path, table()), features=["width", "height"], validation=4, test=4
    )
    assert problem.network_options == {"num_classes": 2, "in_features": 2}
    assert problem.class_names == ("0", "1")
    assert len(problem.train) == 12


def test_a_column_that_does_not_vary(tmp_path):
    lines = "\n".join(f"1.0,{i},{i % 2}" for i in range(20))
    problem = classification(data=write(tmp_path, f"a,b,label\n{lines}\n"), validation=4, test=4)
    rows = problem.train.batch(range(12)).inputs
    assert rows.isfinite().all()
    assert rows[:, 0].tolist() == [0.0] * 12


@pytest.mark.parametrize(
    ("text", "options", "kind", "message"),
    [
        (table(), {}, DataError, "the column 'who' is not made of numbers"),
        (table(), {"features": ["widht"]}, UnknownName, r"unknown column 'widht'\. Nearest: 'width'"),
        (table(), {"label": "klass"}, UnknownName, r"unknown column 'klass'\. Nearest: 'class'"),
        (table(), {"label": "who"}, DataError, "the label column 'who' holds 'name0'"),
        (table(), {"label": "width"}, DataError, r"the label column 'width' holds 0\.\d+"),
        ("a,b\n1,2\n", {}, DataError, "no label column among a, b"),
        ("a,label\n1,0\n,1\n3,0\n4,1\n", {"validation": 1, "test": 1}, DataError, "'a' has 1 missing or inf"),
        ("a,label\n1,0\n2,\n3,0\n4,1\n", {}, DataError, "the label column 'label' holds"),
        ("a,label\n1,0\n2,-1\n3,0\n4,1\n", {}, DataError, "train has the label -1"),
        ("label\n1\n0\n1\n", {}, DataError, "has no column beside the label"),
        ("a,label\n1,0\n2,1\n", {}, DataError, "a test split of 0.25 takes 0 of 2"),
    ],
)
def test_what_cannot_be_read(tmp_path, text, options, kind, message):
    with pytest.raises(kind, match=message):
        classification(data=write(tmp_path, text), **options)


def test_one_stray_number_makes_no_trillion_classes(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("a,b,label\n" + "1,2,0\n2,1,1\n" * 5 + "1,1,1000000000000\n")
    with pytest.raises(DataError, match=r"'label' holds 1000000000000 in row 10, and 3 different numbers"):
        classification(data=str(file))
