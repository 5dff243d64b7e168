"""Tables by name."""

from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
from PIL import Image

from tutelage.data import load_tables
from tutelage.errors import DataError, UnknownName


def test_sets_that_come_with_scikit_learn():
    (table,) = load_tables("sklearn.digits").values()
    assert len(table) == 1797
    assert table.column_names == ["features", "image", "label"]
    assert np.asarray(table[0]["image"]).shape == (8, 8)
    assert table.features["label"].names == [str(i) for i in range(10)]
    cancer = load_tables("sklearn.breast_cancer")["train"]
    assert cancer.features["label"].names == ["malignant", "benign"]


@pytest.mark.parametrize("name", ["diabetes", "iris", "linnerud", "wine"])
def test_every_set_of_scikit_learn_is_read(name):
    assert len(load_tables(f"sklearn.{name}")["train"]) > 10


def test_an_unknown_set_gets_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown data set of scikit-learn 'digit'\. Nearest: 'digits'"):
        load_tables("sklearn.digit")


def png(value: int) -> bytes:
    held = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(held, "PNG")
    return held.getvalue()


def test_a_folder_of_parquet_with_images(tmp_path):
    for name, count in (("train", 5), ("test", 2)):
        table = datasets.Dataset.from_dict(
            {"image": [{"bytes": png(i), "path": None} for i in range(count)], "label": list(range(count))}
        ).cast_column("image", datasets.Image())
        table.to_parquet(tmp_path / f"{name}.parquet")
    found = load_tables(str(tmp_path))
    assert {name: len(table) for name, table in found.items()} == {"train": 5, "test": 2}
    assert np.asarray(found["train"][3]["image"]).tolist() == [[3] * 4] * 4


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json", "jsonl"])
def test_one_file(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    table = datasets.Dataset.from_dict({"a": [1.5, 2.5], "label": [0, 1]})
    getattr(table, f"to_{suffix.removesuffix('l')}")(path)
    found = load_tables(str(path))
    assert list(found) == ["train"]
    assert found["train"]["a"][:] == [1.5, 2.5]


@pytest.mark.parametrize("name", ["/none/such", "./none", "~/none", "none.csv", "../none.parquet"])
def test_a_path_with_nothing_there(name):
    with pytest.raises(DataError, match="there is nothing at"):
        load_tables(name)


def test_a_name_that_cannot_be_fetched():
    with pytest.raises(
        DataError, match=r"cannot load the data set 'nobody/nothing'.*--set task.data=<folder>"
    ):
        load_tables("nobody/nothing")


def test_a_folder_without_data(tmp_path):
    with pytest.raises(DataError, match="cannot load"):
        load_tables(str(tmp_path))


def test_a_file_that_is_no_table(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot load"):
        load_tables(str(tmp_path / "a.parquet"))


def test_a_table_without_rows(tmp_path):
    (tmp_path / "rows.csv").write_text("a,label\n")
    with pytest.raises(DataError, match=r"no data|is empty"):
        load_tables(str(tmp_path / "rows.csv"))


def test_an_empty_split(tmp_path):
    table = datasets.Dataset.from_dict({"a": [1, 2], "label": [0, 1]})
    table.to_parquet(tmp_path / "train.parquet")
    table.select([]).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"no data|is empty"):
        load_tables(str(tmp_path))
