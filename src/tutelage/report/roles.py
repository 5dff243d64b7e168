"""Who plays which part in a run: the outcome that it is about, what that is held against, and the rest.

Outcomes have the names that a recipe gave them; nothing here or above it looks for a student or a control.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tutelage.report.numbers import mapping, sequence

__all__ = ["TEACHER", "against", "arm_colours", "colours", "entries", "main", "outcome", "primary", "the"]

TEACHER = "teacher"
"""The column of who was asked."""

_NOUNS = {"assistant", "control", "critic", "generator", "placebo", "student", "teacher"}


def entries(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The teacher, if there was one, then every outcome in order: what the columns of a table show."""
    named = {TEACHER: mapping(results.get("teacher"))} if results.get("teacher") else {}
    for name, entry in mapping(results.get("outcomes")).items():
        named[_column(name)] = mapping(entry)
    return named


def primary(results: Mapping[str, Any]) -> str:
    """The outcome that the verdict is about; empty where there is none."""
    said = [results.get("primary"), mapping(results.get("verdict")).get("of")]
    return _first(results, said, default=list(mapping(results.get("outcomes")))[-1:])


def against(results: Mapping[str, Any]) -> str:
    """The outcome that the primary one is held against; empty where there is none."""
    told = mapping(results.get("verdict")).get("against")
    held = _first(results, [told, outcome(results).get("against")])
    return "" if held == primary(results) else held


def outcome(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the primary outcome measured."""
    return entries(results).get(primary(results), {})


def main(results: Mapping[str, Any]) -> list[str]:
    """The columns that the verdict rests on: teacher, placebo, the primary outcome, what it is against."""
    own, said = primary(results), [mapping(each) for each in sequence(results.get("verdicts"))]
    wanted = {TEACHER, "placebo", own, against(results)}
    wanted |= {_column(each.get("against")) for each in said if _column(each.get("of")) == own}
    return [name for name in entries(results) if name in wanted]


def colours(results: Mapping[str, Any]) -> dict[str, str]:
    """Column -> its colour: the teacher's, the primary's, its opponent's, then three more in turn."""
    fixed = {against(results): "against", primary(results): "primary", TEACHER: "teacher"}
    return _coloured(entries(results), fixed)


def arm_colours(results: Mapping[str, Any], arms: Iterable[str]) -> dict[str, str]:
    """Trained arm -> the colour of the foremost outcome that came of it."""
    found, of = entries(results), colours(results)
    fixed: dict[str, str] = {}
    for name in [primary(results), against(results), *found]:
        if name in found:
            fixed.setdefault(str(found[name].get("arm") or name), of[name])
    return _coloured(arms, fixed)


def the(name: str) -> str:
    """A name as a sentence takes it: an article stands before what is a noun."""
    return f"the {name}" if name in _NOUNS else name


def _coloured(names: Iterable[str], fixed: Mapping[str, str]) -> dict[str, str]:
    found = {name: fixed.get(name, "") for name in names}
    rest = (name for name, colour in found.items() if not colour)
    return found | {name: f"also-{place % 3 + 1}" for place, name in enumerate(rest)}


def _first(results: Mapping[str, Any], said: Iterable[Any], default: Iterable[str] = ()) -> str:
    known = mapping(results.get("outcomes"))
    return next((_column(name) for name in (*said, *default) if name in known), "")


def _column(name: Any) -> str:
    """An outcome that is called as the teacher is gets a column of its own."""
    return f"{name} (outcome)" if name == TEACHER else str(name)
