"""Results of earlier formats, read as those of today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.errors import OutputError
from tutelage.report.numbers import mapping, sequence

__all__ = ["FORMAT", "upgraded"]

FORMAT = 2
"""The format of results that is written and read."""

_NOT_SAID = ("examples", "share_of_seeds", "share_of_test_set", "smallest_effect", "p_value", "credit")


def upgraded(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results of any known format as those of format 2; what is of format 2 already stays as it is.

    Format 1 said nothing of its format and knew one teacher, one control, one student and what stood beside
    them (`also`). These become outcomes by their names, in that order; what it did not measure is null. The
    details of a run keep their keys and need no upgrade.

    Args:
        results: what a run measured, as its `results.json` holds it.

    Returns:
        A new mapping, its values those that came in.

    Raises:
        OutputError: results of a later format, or of one that is not known.
    """
    came = results.get("format")
    if came == FORMAT:
        return dict(results)
    if came not in (None, 1):
        raise OutputError(
            f"results of format {came!r} came; formats 1 and {FORMAT} are known: update tutelage, or read "
            "them with the version that wrote them"
        )
    named = _named(results)
    against = "control" if "control" in named else None
    verdicts = list(_verdicts(results, named, against))
    kept = {key: value for key, value in results.items() if key not in {"also", "teacher"}}
    return kept | {
        "format": FORMAT,
        "looks": 1,
        "primary": "student",
        "teacher": mapping(results.get("teacher")) or None,
        "outcomes": {name: _outcome(name, entry, against) for name, entry in named.items()},
        "verdict": next((each for each in verdicts if each["of"] == "student"), {}),
        "verdicts": verdicts,
        "fidelity": mapping(results.get("fidelity")),
        "sanity": [],
        "warnings": list(sequence(results.get("warnings"))),
        "differences": [],
    }


def _named(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    named = {name: mapping(results.get(name)) for name in ("control", "student") if results.get(name)}
    for name, entry in mapping(results.get("also")).items():
        free = name not in named and name != "student"
        named[str(name) if free else f"{name} (also)"] = mapping(entry)
    return named


def _outcome(name: str, entry: Mapping[str, Any], against: str | None) -> dict[str, Any]:
    kept = {key: value for key, value in entry.items() if key != "verdict"}
    told = {"arm": name, "network": "student", "stage": 0, "view": None, "steps": entry.get("steps")}
    return kept | told | {"against": None if name == against else against, "failed_seeds": []}


def _verdicts(
    results: Mapping[str, Any], named: Mapping[str, Mapping[str, Any]], against: str | None
) -> Iterator[dict[str, Any]]:
    unsaid = dict.fromkeys(_NOT_SAID) | {"seeds": len(sequence(results.get("seeds"))) or None}
    own = mapping(results.get("verdict"))
    for name, said in {"student": own, **{n: mapping(e.get("verdict")) for n, e in named.items()}}.items():
        held = own if name == "student" else said
        if held:
            yield {**unsaid, **held, "of": name, "against": against}
