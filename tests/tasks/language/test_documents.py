from __future__ import annotations

import datasets
import pytest

from tutelage.errors import DataError, UnknownName
from tutelage.tasks.language.documents import cut, read_documents, three_parts

TEXT = " \n = One = \n \n First . \n \n = = Part = = \n \n Still first . \n \n = Two = \n \n x \n = 3 = \n"


def test_ways_to_cut():
    assert cut(TEXT, "whole") == [TEXT.strip()]
    assert cut(TEXT, "headings") == [
        "= One = \n \n First . \n \n = = Part = = \n \n Still first .",
        "= Two = \n \n x \n = 3 =",  # no empty line before it
    ]
    assert cut(TEXT, "paragraphs")[:3] == ["= One =", "First .", "= = Part = ="]
    assert cut("# A\nx\n\n## B\n\n# C", "headings") == ["# A\nx\n\n## B", "# C"]
    assert cut(" \n\n ", "paragraphs") == []


def test_a_file_is_trained_on_and_a_folder_is_split_by_names(tmp_path):
    (tmp_path / "wiki-test.txt").write_text("t")
    assert read_documents(str(tmp_path / "wiki-test.txt"), documents="whole") == {"train": ["t"]}
    (tmp_path / "wiki.valid.txt").write_text("v")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "interval.txt").write_text("two\n\nthree")
    found = read_documents(str(tmp_path), documents="paragraphs")
    assert found == {"test": ["t"], "validation": ["v"], "train": ["one", "two", "three"]}


def test_a_place_for_each_split(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    table = datasets.Dataset.from_dict({"text": ["c", "d"]})
    table.to_parquet(tmp_path / "c.parquet")
    data = {
        "train": str(tmp_path / "a.txt"),
        "test": str(tmp_path / "b.txt"),
        "validation": str(tmp_path / "c.parquet"),
    }
    found = read_documents(data, documents="whole")
    assert found == {"train": ["a"], "test": ["b"], "validation": ["c", "d"]}
    with pytest.raises(UnknownName, match="unknown split 'dev'"):
        read_documents({"dev": "x.txt"}, documents="whole")


def test_rows_of_a_table(tmp_path):
    lines = [f"{line}\n" if line else "" for line in TEXT.split("\n")]
    datasets.Dataset.from_dict({"content": lines, "n": range(len(lines))}).to_parquet(tmp_path / "t.parquet")
    found = read_documents(str(tmp_path / "t.parquet"), documents="headings")
    assert found["train"] == cut(TEXT, "headings")
    assert "First ." in read_documents(str(tmp_path / "t.parquet"), documents="whole")["train"]
    with pytest.raises(DataError, match="holds 0, and text was expected"):
        read_documents(str(tmp_path / "t.parquet"), text="n", documents="whole")
    with pytest.raises(UnknownName, match="unknown column 'words'"):
        read_documents(str(tmp_path / "t.parquet"), text="words", documents="whole")


def test_missing_parts_are_drawn_document_by_document():
    found = {"train": [f"d{n}" for n in range(20)]}
    train, validation, test = three_parts(found, validation=0.1, test=3, seed=0)
    assert (len(train), len(validation), len(test)) == (15, 2, 3)
    assert sorted(train + validation + test) == sorted(found["train"])
    assert three_parts(found, validation=0.1, test=3, seed=0)[1] == validation
    assert three_parts({**found, "test": ["t"]}, validation=2, test=0.5, seed=0)[2] == ["t"]
    with pytest.raises(DataError, match=r"task\.documents=paragraphs or headings"):
        three_parts({"train": ["all"], "test": ["t"]}, validation=0.1, test=0.1, seed=0)


def test_texts_that_cannot_be_read(tmp_path):
    with pytest.raises(UnknownName, match="unknown way to cut documents 'lines'"):
        read_documents("x", documents="lines")
    with pytest.raises(DataError, match="there is no text file"):
        read_documents(str(tmp_path / "no.txt"), documents="whole")
    (tmp_path / "valid.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as UTF-8"):
        read_documents(str(tmp_path), documents="whole")
    (tmp_path / "valid.txt").write_text("x")
    with pytest.raises(DataError, match="has the splits validation and none to train on"):
        read_documents(str(tmp_path), documents="whole")
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"the split 'train' of .* has no text"):
        read_documents(str(tmp_path), documents="whole")
