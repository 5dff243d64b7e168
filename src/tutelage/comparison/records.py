"""What is compared, as it lies on disk: folders of finished runs, and measures of artefacts as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tutelage.engine import complaints
from tutelage.errors import OutputError, RecipeError
from tutelage.files import read_json
from tutelage.report import upgraded
from tutelage.report.numbers import mapping, sequence
from tutelage.runs.folder import check_sum, read_run
from tutelage.runs.scores import ExampleScores, read_scores

__all__ = ["Measure", "Record", "read_measure", "read_record"]

_NOTES = ("about", "expected", "seeds", "tuning", "uncontrolled")
"""What a recipe says without changing a number of its runs."""


@dataclass(frozen=True)
class Record:
    """A finished run, read from its folder.

    Args:
        folder: where it lies.
        name: of its recipe.
        results: every number, of today's format.
        environment: versions, machine and hashes of the data; empty where they were not kept.
        recipe: as it was resolved, without notes and seeds.
        made_of: hashes of data, networks and teacher.
        shapes: of the weights of the primary outcome; empty where they were not kept.
    """

    folder: Path
    name: str
    results: Mapping[str, Any]
    environment: Mapping[str, Any]
    recipe: Mapping[str, Any]
    made_of: Mapping[str, str]
    shapes: Mapping[str, Any]

    @property
    def primary(self) -> str:
        """The outcome that the run is about."""
        return str(self.results["primary"])

    @property
    def metric(self) -> str:
        """What its verdict is about."""
        return str(mapping(self.results.get("verdict")).get("metric") or "")

    @property
    def seeds(self) -> list[int]:
        """The seeds that were measured."""
        return [int(seed) for seed in sequence(self.results.get("seeds"))]

    @property
    def outcomes(self) -> Mapping[str, Mapping[str, Any]]:
        """What each outcome measured, by name."""
        return mapping(self.results.get("outcomes"))

    @property
    def task(self) -> str:
        """The recipe's task; empty for a call of `distill`, which names none."""
        held = self.recipe.get("task")
        return str(next(iter(held), "")) if isinstance(held, Mapping) else str(held or "")

    @property
    def from_code(self) -> bool:
        """Whether its networks are code that the recipe does not name."""
        return "call" in self.recipe

    def finished(self, outcome: str) -> list[int]:
        """The seeds of an outcome that ended well, in the order of its numbers."""
        failed = sequence(mapping(self.outcomes.get(outcome)).get("failed_seeds"))
        return [seed for seed in self.seeds if seed not in failed]

    def data(self, part: str) -> Mapping[str, Any]:
        """How many examples a split has, and their hash; empty where that was not kept."""
        return mapping(mapping(self.environment.get("data")).get(part))

    def scores(self, outcome: str) -> ExampleScores | None:
        """What each test example adds to an outcome's metric; None where that was not kept."""
        return self._scores.get(outcome)

    @cached_property
    def _scores(self) -> dict[str, ExampleScores]:
        read = {name: read_scores(self.folder, name) for name in self.outcomes}
        return {name: held for name, held in read.items() if held is not None}


class _Over(BaseModel):
    """A number of several measurements."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    per_seed: list[float] = Field(default_factory=list)


class _Time(BaseModel):
    """A latency in milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p50: float
    p95: float | None = None
    p99: float | None = None
    stable: bool | None = None
    threads: int | None = None


class _Cost(BaseModel):
    """What an artefact costs on a device; null or left out where it was not measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: float | None = None
    bytes: float | None = None
    flops: float | None = None
    latency_ms: dict[str, _Time | float] = Field(default_factory=dict)
    peak_memory_bytes: float | None = None
    energy_joules: float | None = None
    train_seconds: float | None = None


class Measure(BaseModel):
    """An artefact that was measured elsewhere, such as a quantised network on a telephone.

    Args:
        name: what to call it.
        kind: the word `measure`.
        quality: metric -> a number, or {"mean", "per_seed"} of several; empty where it was not measured.
        cost: `parameters`, `bytes` of the file, `flops` of an example, `latency_ms` by batch size (a median,
            or {"p50", "p95", "p99", "stable", "threads"}), `peak_memory_bytes`, `energy_joules` of an
            example, `train_seconds`; each may be left out.
        machine: where it was measured, in words.
        examples: how many test examples the quality is of.

    Example:
        >>> held = Measure.model_validate({"name": "int8, telephone", "kind": "measure",
        ...     "quality": {"accuracy": 0.951}, "cost": {"bytes": 1900, "latency_ms": {"1": 0.31}}})
        >>> held.entry()["cost"]["latency_ms"]
        {'1': {'p50': 0.31}}
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    kind: Literal["measure"]
    quality: dict[str, _Over | float] = Field(default_factory=dict)
    cost: _Cost = Field(default_factory=_Cost)
    machine: str = ""
    examples: int | None = None

    def entry(self) -> dict[str, Any]:
        """Quality and cost in the shape that outcomes have in results."""
        quality = {
            name: {"mean": held, "per_seed": [held]} if isinstance(held, float) else held.model_dump()
            for name, held in self.quality.items()
        }
        cost = self.cost.model_dump(exclude_none=True)
        times = {
            size: {"p50": held} if isinstance(held, float) else held
            for size, held in cost.pop("latency_ms").items()
        }
        return {"quality": quality, "calibration": {}, "cost": cost | {"latency_ms": times}}


def read_record(folder: Path) -> Record:
    """Read the folder of a finished run, of this format or an earlier one.

    Raises:
        OutputError: it is no folder of a run, its run is not finished, or it is of a later format.
        CheckpointError: a file of it is cut short or foreign.
    """
    results = upgraded(read_run(folder, "results.json"))
    mark = read_run(folder, "run.json")
    if results.get("primary") not in mapping(results.get("outcomes")):
        raise OutputError(f"{folder} has results without an outcome; run it again, or leave it out")
    recipe = mapping(mark.get("recipe"))
    return Record(
        folder=folder,
        name=str(mark.get("name") or results.get("recipe") or folder.name),
        results=results,
        environment=mapping(_beside(folder, "environment.json")),
        recipe={key: value for key, value in recipe.items() if key not in _NOTES},
        made_of=mapping(mark.get("made_of")),
        shapes=mapping(mapping(_beside(folder, "network.json")).get("shapes")),
    )


def read_measure(path: Path) -> Measure:
    """Read a measure from a JSON file; `Measure` says what it holds.

    Raises:
        OutputError: there is no such file.
        CheckpointError: it is no JSON.
        RecipeError: it is no measure: says which key is wrong.
    """
    if not path.is_file():
        raise OutputError(f"there is no {path}; give folders of finished runs, and measures as JSON files")
    came = read_json(path)
    try:
        return Measure.model_validate(came)
    except ValidationError as error:
        raise RecipeError(
            f"{path} is no measure: {complaints(error)}. Expected "
            '{"name": "…", "kind": "measure", "quality": {"accuracy": 0.95}, "cost": {"bytes": 5144}}'
        ) from error


def _beside(folder: Path, name: str) -> Any:
    if not (folder / name).is_file():
        return {}
    check_sum(folder, name)
    return read_json(folder / name)
