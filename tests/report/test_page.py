"""The page's structure: what comes first, what it loads, what is missing, what is escaped."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import pytest

from tutelage.errors import OutputError
from tutelage.report import REPORT_NAME, render, write

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$x_$",
    "\\frac{$",
    "a_b_{c",
    "日本",
    "\x00\x1b[31m",
]
VOID = {"meta", "link", "img", "br", "hr", "input"}
SECTIONS = {
    "learning": "Learning curves",
    "fidelity": "Fidelity to the teacher",
    "reliability": "Calibration",
    "trade": "Quality, latency and size",
    "confusion": "Where the student departs from the teacher",
    "expected": "Expected numbers",
}


class Page(HTMLParser):
    """The elements of a page in order, and its text; an element that is never closed fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_verdict_comes_first_and_the_sections_follow_in_order(page):
    parsed = Page(page)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    places = [ids.index(name) for name in ("verdict", "warnings", "comparison", *SECTIONS)]
    assert places == sorted(places)
    assert all(title in parsed.text for title in SECTIONS.values())
    first = parsed.all("section")[0]
    assert first["class"] == "verdict better"


def test_nothing_is_loaded_from_anywhere(page):
    parsed = Page(page)
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert not parsed.all("script")
    assert all(link["href"] == "data:," for link in parsed.all("link"))
    assert not [attributes for _, attributes in parsed.elements if "src" in attributes]
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_headings_descend_one_at_a_time_from_a_single_first(page):
    levels = [int(tag[1]) for tag, _ in Page(page).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique_and_every_reference_resolves(page):
    parsed = Page(page)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([^)]*)\)", page))
    for _, attributes in parsed.elements:
        wanted |= {(attributes.get("href") or "#").removeprefix("#")} - {"", "data:,"}
        wanted |= set((attributes.get("aria-labelledby") or "").split())
    assert wanted <= set(ids)


def test_charts_are_named_pictures_in_the_colours_of_the_page(page):
    charts = list(Page(page).all("svg"))
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
def test_each_verdict_has_its_tone_and_only_worse_has_advice(sample, word, tone, headline):
    parsed = Page(render(sample.results(word), {}))
    assert next(each for each in parsed.all("section"))["class"] == f"verdict {tone}"
    assert headline in parsed.text
    assert ("What to try" in parsed.text) == (word == "worse")


def test_the_bar_points_to_the_student_whichever_way_the_metric_counts(results):
    results["verdict"] |= {"metric": "errors", "difference": -42.0, "interval": [-63.0, -21.0]}
    text = Page(render(results, {})).text
    assert "−42" in text
    assert text.index("student better") < text.index("control better")


def test_ratios_stand_beside_the_teacher(page):
    text = Page(page).text
    for said in ("29× smaller", "29× fewer", "5.9× faster", "3.1× shorter", "−0.21 pp", "99.05 %", "67 %"):
        assert said in text


def test_expected_numbers_stand_beside_ours(page):
    row = re.search(r"<tr><th scope=\"row\">Errors</th><td>74</td>.*?</tr>", page)
    assert row is not None
    assert "<td>88.3</td><td>95</td>" in row[0]
    assert "Hinton et al. 2015" in row[0]


def test_many_classes_become_a_table_of_pairs(sample, results):
    text = render(results, sample.details(classes=31))
    assert 'id="confusion-title"' not in text
    assert "<td>class 4</td><td>class 9</td><td>14</td>" in text


def test_the_same_input_gives_the_same_bytes(sample, page):
    assert render(sample.results(), sample.details()) == page


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_escaped_wherever_they_appear(results, details, name):
    results |= {"recipe": name, "out": name, "warnings": [name], "also": {name: results["student"]}}
    results["verdict"] |= {"why": name, "uncontrolled": [name], "advice": [name]}
    results["expected"] = {name: {"paper": 1, "source": name}}
    results["student"]["quality"][name] = {"mean": 0.5, "per_seed": [0.5]}
    details["class_names"] = [name] * 10
    details["recipe_yaml"] = name
    details["environment"][name] = {name: name}
    details["curves"]["student"][0]["points"][0]["terms"][name] = 0.5
    parsed = Page(render(results, details))
    assert not parsed.all("script")
    assert not parsed.all("img")
    assert not [1 for _, attributes in parsed.elements if any(key.startswith("on") for key in attributes)]
    if name.isprintable():
        assert name in parsed.text


def test_a_name_that_looks_like_a_colour_or_an_id_is_left_alone(details, results):
    details["class_names"] = ["#010116", 'id="x"', "url(#m1)", *details["class_names"][3:]]
    text = Page(render(results, details)).text
    assert all(text.count(name) >= 2 for name in details["class_names"][:3])


def test_one_seed_and_no_control_leave_sections_out(sample):
    parsed = Page(render(sample.minimal(), {}))
    assert "Not shown to be better" in parsed.text
    assert "No control was run." in parsed.text
    assert "—" in parsed.text
    assert "interval" not in parsed.text
    assert not parsed.all("svg")
    assert not [1 for _, attributes in parsed.elements if attributes.get("id") in SECTIONS]


@pytest.mark.parametrize(
    "part",
    ["teacher", "control", "student", "also", "fidelity", "verdict", "gap_closed", "warnings", "expected"],
)
@pytest.mark.parametrize("how", ["null", "absent", "empty"])
def test_any_missing_result_is_left_out(results, part, how):
    if how == "absent":
        del results[part]
    else:
        results[part] = None if how == "null" else {}
    text = Page(render(results, {})).text
    assert "None" not in text
    assert "nan" not in text.split()


@pytest.mark.parametrize("arm", ["teacher", "control", "student"])
@pytest.mark.parametrize("part", ["quality", "calibration", "cost"])
def test_any_missing_measurement_is_a_dash(results, arm, part):
    results[arm][part] = None if part != "cost" else dict.fromkeys(results[arm]["cost"])
    text = Page(render(results, {})).text
    assert "—" in text
    assert "None" not in text


def test_numbers_that_are_not_numbers_are_dashes(results):
    results["student"]["quality"]["accuracy"] = {"mean": float("nan"), "per_seed": [float("nan")] * 3}
    results["verdict"] |= {"difference": float("inf"), "interval": [None, None]}
    assert not {"nan", "inf", "+inf"} & set(Page(render(results, {})).text.split())


@pytest.mark.parametrize(
    "details",
    [
        {"curves": {}, "calibration_curves": {}, "fidelity_bins": [], "confusion": [], "class_names": []},
        {
            "curves": {"student": [{"seed": 0, "points": []}]},
            "confusion": [[0, 0], [0, 0]],
            "class_names": None,
        },
        {
            "curves": {
                "student": [{"seed": 0, "points": [{"step": 1, "epoch": 1, "loss": None}]}],
                "control": None,
            }
        },
        {
            "fidelity_bins": [{"low": 0, "high": 1, "count": 0, "agreement": None, "kl": None}],
            "confusion": None,
        },
        {
            "calibration_curves": {"teacher": None, "student": [{"low": 0, "high": 1, "count": 0}]},
            "recipe_yaml": None,
        },
        {"environment": {"versions": None, "seeds": [0]}, "confusion": [[1, 2], [3]]},
    ],
)
def test_details_with_nothing_in_them_are_left_out(results, details):
    assert "None" not in Page(render(results, details)).text


def test_a_page_is_written_and_replaced(tmp_path, results):
    path = tmp_path / REPORT_NAME
    path.write_text("old")
    assert write(results, {}, path) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_folder_that_is_not_there_is_named(tmp_path, results):
    with pytest.raises(OutputError, match="nowhere"):
        write(results, {}, tmp_path / "nowhere" / REPORT_NAME)
