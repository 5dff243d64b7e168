"""One self-contained HTML page for a run: the verdict first, then everything it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from tutelage.errors import OutputError
from tutelage.files import write_atomically
from tutelage.report import numbers, roles, verdicts
from tutelage.report.facts import facts
from tutelage.report.head import head
from tutelage.report.lessons import lessons
from tutelage.report.looks import looks
from tutelage.report.notes import notes
from tutelage.report.numbers import mapping, mean, sequence
from tutelage.report.rows import comparison, expected
from tutelage.report.upgrade import upgraded
from tutelage.report.way import way
from tutelage.report.words import words

__all__ = ["REPORT_NAME", "page_template", "render", "write"]

REPORT_NAME = "report.html"
"""What the page is called inside a run's folder."""

_MOST_BEFORE = 5
"""Columns before those of the differences; of more, those that the verdict rests on."""

_HERE = Path(__file__).parent


def render(results: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """The whole page as a string; what is missing leaves its section out.

    Args:
        results: what a run measured, as `tutelage run --json` prints it; of this format or an earlier one.
        details: what only the page shows: curves, bins, confusion, recipe and environment.

    Raises:
        OutputError: results of a format that is not known.
    """
    results = upgraded(results)
    parts = [
        _top(results),
        head(results, details),
        _measured(results),
        way(results),
        lessons(results),
        looks(results, details),
        _again(details),
    ]
    return page_template(_HERE / "page.html").render(
        **{name: value for part in parts for name, value in part.items()}
    )


def write(results: Mapping[str, Any], details: Mapping[str, Any], path: Path | str) -> Path:
    """Render the page into a file, whose folder must exist.

    Args:
        results: as for `render`.
        details: as for `render`.
        path: the file to write; an older one is replaced.

    Raises:
        OutputError: the file cannot be written, or the results are of a format that is not known.
    """
    page = render(results, details).encode("utf-8", errors="replace")
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"cannot write the report to {str(path)!r}: there is no folder {path.parent}")
    write_atomically(path, page)
    return path


@cache
def page_template(path: Path) -> Template:
    """A page as a template that escapes what it is given, with the style of all pages as `style`.

    It begins by including `document.html`, and finds what else lies beside the report's own page.

    Args:
        path: of the template.
    """
    environment = Environment(
        loader=FileSystemLoader([path.parent, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    environment.globals["style"] = Markup(style)  # noqa: S704 - a file of this package
    environment.filters["the"] = roles.the
    return environment.get_template(path.name)


def _top(results: Mapping[str, Any]) -> dict[str, Any]:
    further = verdicts.further(results)
    verdict = verdicts.said(mapping(results.get("verdict")))
    return {
        "recipe": str(results.get("recipe") or "A run"),
        "out": str(results.get("out") or ""),
        "seeds": [str(seed) for seed in sequence(results.get("seeds"))],
        "sanity": notes(results.get("sanity")),
        "verdict": verdict,
        "further": further,
        "one_metric": {each["metric"] for each in further} == {verdict["metric"] if verdict else ""},
        "warnings": notes(results.get("warnings")),
        "looks": int(numbers.number(results.get("looks")) or 1),
        "words": words(results),
        "facts": facts(results),
    }


def _measured(results: Mapping[str, Any]) -> dict[str, Any]:
    fidelity = mapping(results.get("fidelity")) if results.get("teacher") else {}
    measures = [
        (numbers.label(metric), numbers.measure(metric, mean(value)), numbers.spread(metric, value))
        for metric, value in fidelity.items()
    ]
    rows, arms = comparison(results), roles.colours(results)
    first = list(arms) if len(arms) <= _MOST_BEFORE else roles.main(results)
    return {
        "arms": arms,
        "columns": first,
        "columns_after": [name for name in arms if name not in first],
        "beside": [name for name in (roles.against(results), roles.TEACHER) if name in arms],
        "has_teacher": roles.TEACHER in roles.entries(results),
        "primary": roles.primary(results),
        "against": roles.against(results),
        "rows": rows,
        "uneven": any(row.group == "Seeds" for row in rows),
        "expected": expected(results),
        "measures": [each for each in measures if each[1] != numbers.DASH],
    }


def _again(details: Mapping[str, Any]) -> dict[str, Any]:
    environment = mapping(details.get("environment"))
    return {
        "recipe_yaml": str(details.get("recipe_yaml") or ""),
        "environment": [(str(part), _flat(value)) for part, value in environment.items() if value],
    }


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as lines of dotted names; a bare value is a line without a name."""
    if isinstance(value, Mapping):
        named = {f"{prefix}.{key}" if prefix else str(key): item for key, item in value.items()}
        return [line for name, item in named.items() for line in _flat(item, name)]
    if prefix.endswith("_bytes"):
        return [(prefix.removesuffix("_bytes"), numbers.size(value))]
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return [(prefix, numbers.DASH if value is None else text)]
