"""The page, the table and the CSV."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from tutelage.comparison import compare
from tutelage.errors import OutputError


class Closed(HTMLParser):
    """Fails where an element is never closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_says_what_was_found(two):
    page = compare(two).page()
    Closed(page)
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page)
    for words in (
        "t8 is better than t2",
        "Each against its own control",
        "temperature",
        "What training cost",
        "Flipped examples",
        "10\u00a0%",  # of the teacher's cost at which t2 breaks even
        "smallest effect",
    ):
        assert words in page, words


def test_the_page_says_what_could_not_be_compared(a_run, tmp_path, two):
    page = compare([*two, a_run(tmp_path / "later", seeds=[7, 8], recipe={"temperature": 4})]).page()
    Closed(page)
    assert "not compared" in page
    assert "no seed in common" in page


def test_names_are_escaped(two):
    page = compare({"<script>alert(1)</script>": two[0], "b": two[1]}).page()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    Closed(page)


def test_the_page_of_one_pool_has_no_reference(a_run, tmp_path):
    page = compare([a_run(tmp_path / "a", seeds=[0]), a_run(tmp_path / "b", seeds=[1, 2])]).page()
    Closed(page)
    assert "Better than its control" in page or "Not shown to be better than its control" in page
    assert 'id="across"' not in page


def test_the_table_shows_runs_differences_and_costs(two):
    console = Console(width=130, record=True, file=io.StringIO())
    console.print(compare(two).table())
    text = console.export_text()
    for words in (
        "t8 is better than t2",
        "temperature",
        "teacher",
        "control",
        "its control",
        "break-even charge",
    ):
        assert words in text, words


def test_the_sheet_has_a_line_for_each_network(two):
    lines = list(csv.DictReader(io.StringIO(compare(two).csv())))
    assert [line["role"] for line in lines] == ["primary", "primary", "teacher", "against"]
    assert (lines[1]["run"], lines[1]["temperature"], lines[1]["verdict"]) == ("t8", "8", "better")
    assert float(lines[1]["interval_low"]) > 0
    assert lines[1]["against"] == "t2"
    assert lines[0]["against"] == ""


def test_a_name_that_is_a_formula_is_no_formula(two):
    lines = list(csv.DictReader(io.StringIO(compare({"=1+1": two[0], "b": two[1]}).csv())))
    assert lines[0]["run"] == "'=1+1"


def test_files_are_written_whole_or_refused(two, tmp_path):
    compare(two).write(tmp_path / "page.html", csv=tmp_path / "sheet.csv")
    assert (tmp_path / "page.html").read_text().lstrip().startswith("<!doctype html>")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        compare(two).write(tmp_path / "file" / "page.html")
