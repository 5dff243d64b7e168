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
TEACHERLESS = {"fidelity", "confusion"}


def test_the_verdict_comes_first_and_the_sections_follow_in_order(page, read):
    parsed = read(page)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    places = [ids.index(name) for name in ("verdict", "warnings", "further", "comparison", *SECTIONS)]
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
        ("better", "better", "Better than its control"),
        ("worse", "worse", "Worse than its control"),
        ("not shown", "open", "Not shown to be better than its control"),
    ],
)
def test_each_verdict_has_its_tone_and_only_worse_has_advice(sample, word, tone, headline, read):
    parsed = read(render(sample.results(word), {}))
    assert next(each for each in parsed.all("section"))["class"] == f"verdict {tone}"
    assert headline in parsed.text
    assert ("What to try" in parsed.text) == (word == "worse")


def test_the_bar_points_to_the_primary_outcome_whichever_way_the_metric_counts(results, read):
    results["verdict"] |= {"metric": "errors", "difference": -42.0, "interval": [-63.0, -21.0]}
    text = read(render(results, {})).text
    assert "−42" in text
    assert text.index("student better") < text.index("control better")


def test_the_verdict_says_what_it_rests_on(page, read):
    text = read(page).text
    assert "student against control" in text
    assert "The teacher helped." in text
    assert "accuracy, student minus control, over 3 seeds and 10,000 test examples" in text
    assert "95 % interval +0.23 to +0.63 pp, p < 0.001" in text.replace("\u00a0", " ")
    assert "seed luck 31 % test-set luck 69 %" in text
    assert "could have shown, four times in five 0.29 pp" in text.replace("\u00a0", " ")


def test_the_sentence_stands_only_where_there_are_no_figures(results, read):
    text = read(render(results, {})).text
    assert "interval +0.23" in text
    assert "0.4 points more accurate" not in text
    results["verdict"] |= {"interval": None, "word": "not shown", "why": "on 2 seeds: no word below three"}
    text = read(render(results, {})).text
    assert text.index("no word below three") < text.index("student minus control")


def test_a_level_keeps_its_decimals(results, read):
    results["verdict"]["level"] = 0.975
    assert "97.5 % interval" in read(render(results, {})).text


def test_further_verdicts_are_a_table_without_the_first(sample, read):
    page = render(sample.exits(), {})
    table = page[page.index('<table class="stacks verdicts">') :].partition("</table>")[0]
    rows = [read(f"<tr>{row.partition('</tr>')[0]}</tr>").text for row in table.split("<tr>")[2:]]
    assert [row.split()[0] for row in rows] == ["exit3", "exit2", "exit1"]
    assert "exit1 alone worse −0.31" in rows[-1]
    assert 'id="further"' not in render(sample.alone(), {})


def test_sanity_stands_in_a_box_of_its_own_before_the_verdict(sample, page, read):
    parsed = read(render(sample.failed(), {}))
    assert [each["class"] for each in parsed.all("section")[:2]] == ["sanity", "verdict open"]
    assert "Two of the student's five seeds diverged." in parsed.text
    assert "Read this first" not in page


def test_failed_seeds_are_told_in_the_table(sample, page, read):
    text = read(render(sample.failed(), {})).text
    assert "3 2 of 5 seeds failed" in text
    assert "Means over the seeds that ended" in text
    assert "seeds failed" not in page


@pytest.mark.slow
def test_peers_are_named_as_they_are_and_held_against_their_own_controls(sample, read):
    found = sample.peers()
    page = render(found, sample.details_of(found))
    text = read(page).text
    assert "Better than peer0 alone" in text
    assert "The recipe helped; that its teacher did is not shown." in text
    assert "peer0 minus peer0 alone" in text
    assert "peer1 alone not shown" in text
    assert "← peer0 alone better 0 peer0 better →" in text
    assert "Where peer0 departs" not in text
    assert '<span class="dot against"></span>peer0 alone' in page
    assert '<span class="dot primary"></span>peer0' in page


@pytest.mark.parametrize("made", ["peers", "alone"])
@pytest.mark.slow
def test_without_a_teacher_nothing_is_set_against_it(sample, made, details, read):
    found = getattr(sample, made)() | {"fidelity": {"agreement": 0.9}}
    parsed = read(render(found, sample.details_of(found) | {"confusion": details["confusion"]}))
    assert not [1 for _, attributes in parsed.elements if attributes.get("id") in TEACHERLESS]
    body = parsed.text.partition("Not controlled")[0] + parsed.text.partition("Side by side")[2]
    assert "vs teacher" not in body
    assert "against the teacher" not in body
    assert "29× smaller" not in body
    assert "latency, batch of 1 0.31 ms" in parsed.text


def test_a_latency_that_is_not_stable_gives_no_ratio(sample, results, read):
    assert "5.9× faster" in read(render(results, {})).text
    results["teacher"]["cost"]["latency_ms"]["1"]["stable"] = False
    page = render(results, {})
    text = read(page).text
    assert "against the teacher, batch of 1" not in text
    assert page.count('data-name="vs teacher">not\u00a0stable</td>') == 1
    assert "5.9× faster" in text
    assert "A hollow bubble" in text
    assert "2 threads" in text


@pytest.mark.slow
def test_arms_that_gave_several_outcomes_are_drawn_once(sample, read):
    found = sample.exits()
    details = sample.details_of(found)
    assert set(details["curves"]) == {"student", "control"}
    text = read(render(found, details)).text
    assert "Training loss of the first seed of the student" in text
    assert "6 more" in text
    assert "Where exit4 departs from the teacher" in text


@pytest.mark.slow
def test_results_of_before_are_still_a_page(sample, read):
    parsed = read(render(sample.old(), sample.details()))
    for said in ("Better than its control", "29× smaller", "5.9× faster", "67 %", "student, 8 bit"):
        assert said in parsed.text
    assert all(title in parsed.text for title in SECTIONS.values())
    assert "None" not in parsed.text


def test_ratios_stand_beside_the_teacher(page, read):
    text = read(page).text
    for said in ("29× smaller", "29× fewer", "5.9× faster", "3.1× shorter", "−0.21 pp", "99.05 %", "67 %"):
        assert said in text


def test_expected_numbers_stand_beside_ours(page):
    row = re.search(r"<tr><th scope=\"row\">Errors</th><td data-name=\"paper\">74</td>.*?</tr>", page)
    assert row is not None
    assert re.findall(r"<td[^>]*>([^<]*)</td>", row[0])[1:3] == ["88.3", "95"]
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
