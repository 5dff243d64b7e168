"""A model card in the hub's form, from the numbers of a run: the verdict first, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tutelage.report import numbers, roles, verdicts
from tutelage.report.facts import batch, metric
from tutelage.report.numbers import mapping, number, sequence
from tutelage.runs.licences import NOT_STATED

__all__ = ["card"]

_PIPELINES = {
    "vision.classification": "image-classification",
    "tabular.classification": "tabular-classification",
    "language.modelling": "text-generation",
    "text.classification": "text-classification",
}
_SHOWN = {"image": "image.png", "columns": "rows.csv", "rows": "rows.csv"}
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$])")


def card(
    results: Mapping[str, Any],
    details: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    licences: Mapping[str, str],
    preparation: Mapping[str, Any],
) -> str:
    """The text of a bundle's README.md.

    Args:
        results: what the run measured, of today's format.
        details: what its page shows beside it; may be empty.
        record: what the export of the file said.
        licences: of `student`, `teacher` and `data`, as far as they are known.
        preparation: as in `Described`.
    """
    said = verdicts.said(mapping(results.get("verdict")))
    about = mapping(details.get("about"))
    columns = roles.main(results)
    environment = mapping(details.get("environment"))
    held = mapping(environment.get("machine"))
    seeds = len(sequence(results.get("seeds")))
    text = str(
        _template().render(
            front=Markup(_front(results, about, licences)),  # noqa: S704  (written by a YAML writer)
            title=_title(results),
            verdict=said,
            why=_sentence("" if said is None else said["why"]),
            pairs=list(_pairs(results, about)),
            columns=columns,
            rows=list(_rows(results, columns)),
            seeds=numbers.counted(seeds, "seed") if seeds != 1 else "one seed",
            split="test split" if mapping(environment.get("data")).get("test") else "validation split",
            machine=f" on {held['processor']}" if held.get("processor") else "",
            record=record,
            differ=f"{number(record.get('max_difference')) or 0.0:.2g}",
            same=f"{100 * (number(record.get('same_first_choice')) or 0.0):.4g}{numbers.GAP}%",
            shown=_SHOWN.get(str(preparation.get("kind")), "inputs.npz"),
            licences=[(name.capitalize(), licences.get(name, NOT_STATED)) for name in _parts(results)],
            limits=list(_limits(results, said, about)),
        )
    )
    return text.strip() + "\n"


def _front(results: Mapping[str, Any], about: Mapping[str, Any], licences: Mapping[str, str]) -> str:
    """The head that the hub reads, as YAML between lines of dashes."""
    task, data = str(about.get("task") or ""), str(about.get("data") or "")
    front: dict[str, Any] = {
        "license": licences.get("student", "unknown"),
        "library_name": "onnx",
        "tags": ["knowledge-distillation", "tutelage", "onnx"],
    }
    if task in _PIPELINES:
        front["pipeline_tag"] = _PIPELINES[task]
    if _on_hub(data):
        front["datasets"] = [data]
    name, value = metric(results), numbers.mean(_quality(results).get(metric(results)))
    if name and value is not None:
        front["metrics"] = [name]
        kind = {"type": _PIPELINES.get(task, "other")}
        source = {"name": PurePath(data).name or "not named", "type": PurePath(data).name or "other"}
        measured = [{"type": name, "name": numbers.label(name), "value": value}]
        front["model-index"] = [
            {
                "name": _title(results),
                "results": [{"task": kind, "dataset": source, "metrics": measured}],
            }
        ]
    text = yaml.safe_dump(_on_one_line(front), sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{text}---\n"


def _on_one_line(held: Any) -> Any:
    """The same with every text on one line, so that none can end the head."""
    if isinstance(held, str):
        return " ".join(held.split())
    if isinstance(held, dict):
        return {key: _on_one_line(value) for key, value in held.items()}
    return [_on_one_line(value) for value in held] if isinstance(held, list) else held


def _pairs(results: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kinds, entries = mapping(about.get("networks")), roles.entries(results)
    for name in (roles.primary(results), roles.TEACHER):
        if name in entries:
            count = number(mapping(entries[name].get("cost")).get("parameters"))
            size = f"{numbers.amount(count)} parameters" if count else ""
            yield (
                name.capitalize(),
                ", ".join(filter(None, (str(kinds.get(name) or ""), size))) or "not named",
            )
    if about.get("task"):
        classes = number(about.get("classes"))
        yield "Task", f"{about['task']}" + (f", {int(classes)} classes" if classes else "")
    if about.get("data"):
        yield "Data", PurePath(str(about["data"])).name
    yield "Run", str(results.get("recipe") or "")


def _rows(results: Mapping[str, Any], columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    entries, read, size = roles.entries(results), metric(results), batch(results)
    held = {name: mapping(entries[name].get("quality")).get(read) for name in columns}
    costs = {name: mapping(entries[name].get("cost")) for name in columns}

    def quality(name: str) -> str:
        spread = numbers.spread(read, held[name])
        return f"{numbers.measure(read, numbers.mean(held[name]))} {spread}".strip()

    def time(name: str) -> str:
        timed = mapping(mapping(costs[name].get("latency_ms")).get(size))
        shown = numbers.measure("latency", timed.get("p50"))
        return shown if shown == numbers.DASH else f"{shown}{numbers.GAP}ms"

    yield numbers.label(read), [quality(name) for name in columns]
    yield "Parameters", [numbers.amount(costs[name].get("parameters")) for name in columns]
    yield "Weights", [numbers.size(costs[name].get("bytes")) for name in columns]
    yield f"Latency, batch of {size}", [time(name) for name in columns]
    yield "Training", [numbers.duration(costs[name].get("train_seconds")) for name in columns]


def _limits(
    results: Mapping[str, Any], said: Mapping[str, Any] | None, about: Mapping[str, Any]
) -> Iterator[str]:
    yield from map(str, [*sequence(results.get("sanity")), *sequence(results.get("warnings"))])
    if said is not None and said["uncontrolled"]:
        yield "Beside the teacher, student and control also differ, or were not tuned, in: " + "; ".join(
            said["uncontrolled"]
        )
    if (number(results.get("looks")) or 1) > 1:
        yield f"The test examples were looked at {int(results['looks'])} times, which makes numbers too good"
    if about.get("classes"):
        yield "It answers with one of its classes whatever it is shown, also where none of them fits"
    yield "It was measured on data like that of its training; how it does on other data is not known"


def _parts(results: Mapping[str, Any]) -> list[str]:
    return ["student", *(["teacher"] if results.get("teacher") else []), "data"]


def _quality(results: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(roles.outcome(results).get("quality"))


def _title(results: Mapping[str, Any]) -> str:
    return f"{results.get('recipe') or 'A run'}: {roles.primary(results) or 'student'}"


def _on_hub(name: str) -> bool:
    """Whether a name is one of the hub, `owner/name`, and nothing on this disk."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and not Path(name).exists()


def _sentence(said: str) -> str:
    """Words with a capital, without the full stop."""
    return f"{said[:1].upper()}{said[1:]}".rstrip(".")


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        keep_trailing_newline=True,
    )
    environment.filters["join"] = lambda parts, between: Markup(between).join(map(_plain, parts))  # noqa: S704
    return environment.get_template("card.md")


def _plain(value: Any) -> Markup:
    """Text that Markdown and HTML leave as it is, on one line."""
    if isinstance(value, Markup):
        return value
    return Markup(_SPECIAL.sub(r"\\\1", str(value).replace("\n", " ")))  # noqa: S704
