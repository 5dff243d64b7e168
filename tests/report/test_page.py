"""The page's structure: what comes first, what it loads, how it is written."""

from __future__ import annotations

import itertools
import re

import pytest

from tutelage.errors import OutputError
from tutelage.report import REPORT_NAME, render, write

SECTIONS = {
    "learning": "Learning curves",
    "fidelity": "Fidelity to the teacher",
    "reliability": "Calibration",
    "trade": "Quality, latency and size",
    "confusion": "Where the student departs from the teacher",
    "expected": "Expected numbers",
}


def test_the_verdict_comes_first_and_the_sections_follow_in_order(page, read):
    parsed = read(page)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    places = [ids.index(name) for name in ("verdict", "warnings", "comparison", *SECTIONS)]
    assert places == sorted(places)
    assert all(title in parsed.text for title in SECTIONS.values())
    first = parsed.all("section")[0]
    assert first["class"] == "verdict better"


def test_nothing_is_loaded_from_anywhere(page, read):
    parsed = read(page)
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert not parsed.all("script")
    assert all(link["href"] == "data:," for link in parsed.all("link"))
    assert not [attributes for _, attributes in parsed.elements if "src" in attributes]
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_headings_descend_one_at_a_time_from_a_single_first(page, read):
    levels = [int(tag[1]) for tag, _ in read(page).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique_and_every_reference_resolves(page, read):
    parsed = read(page)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([^)]*)\)", page))
    for _, attributes in parsed.elements:
        wanted |= {(attributes.get("href") or "#").removeprefix("#")} - {"", "data:,"}
        wanted |= set((attributes.get("aria-labelledby") or "").split())
    assert wanted <= set(ids)


def test_charts_are_named_pictures_in_the_colours_of_the_page(page, read):
    charts = list(read(page).all("svg"))
    assert len(charts) == 8
    assert all(chart["role"] == "img" and chart["aria-labelledby"] for chart in charts)
    body = page.partition("</style>")[2]
    assert "var(--ink)" in body
    assert not re.search(r"#0101[01]\w|#0000|<image", body)
    assert "<text" in body


@pytest.mark.parametrize(
    ("word", "tone", "headline"),
    [
        ("better", "better", "Better than"),
        ("worse", "worse", "Worse than"),
        ("not shown", "open", "Not shown"),
    ],
)
def test_each_verdict_has_its_tone_and_only_worse_has_advice(sample, word, tone, headline, read):
    parsed = read(render(sample.results(word), {}))
    assert next(each for each in parsed.all("section"))["class"] == f"verdict {tone}"
    assert headline in parsed.text
    assert ("What to try" in parsed.text) == (word == "worse")


def test_the_bar_points_to_the_student_whichever_way_the_metric_counts(results, read):
    results["verdict"] |= {"metric": "errors", "difference": -42.0, "interval": [-63.0, -21.0]}
    text = read(render(results, {})).text
    assert "−42" in text
    assert text.index("student better") < text.index("control better")


def test_ratios_stand_beside_the_teacher(page, read):
    text = read(page).text
    for said in ("29× smaller", "29× fewer", "5.9× faster", "3.1× shorter", "−0.21 pp", "99.05 %", "67 %"):
        assert said in text


def test_expected_numbers_stand_beside_ours(page):
    row = re.search(r"<tr><th scope=\"row\">Errors</th><td>74</td>.*?</tr>", page)
    assert row is not None
    assert "<td>88.3</td><td>95</td>" in row[0]
    assert "Hinton et al. 2015" in row[0]


def test_many_classes_become_a_table_of_pairs(sample, results):
    text = render(results, sample.details(classes=31) | {"curves": None, "calibration_curves": None})
    assert 'id="confusion-title"' not in text
    assert "<td>class 4</td><td>class 9</td><td>14</td>" in text


def test_the_same_input_gives_the_same_bytes(sample, page):
    assert render(sample.results(), sample.details()) == page


def test_a_page_is_written_and_replaced(tmp_path, results):
    path = tmp_path / REPORT_NAME
    path.write_text("old")
    assert write(results, {}, path) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_folder_that_is_not_there_is_named(tmp_path, results):
    with pytest.raises(OutputError, match="nowhere"):
        write(results, {}, tmp_path / "nowhere" / REPORT_NAME)
