"""What is not the same between runs beside what is compared: data, steps, test set, machine, versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tutelage.comparison.pools import Pool
from tutelage.report.numbers import counted, mapping, sequence

__all__ = ["caveats", "unequal"]

_PARTS = {
    "train": "training data",
    "transfer": "transfer data",
    "validation": "validation data",
    "test": "test set",
}
_VERSIONS = ("tutelage", "torch")


def unequal(pool: Pool, reference: Pool) -> list[str]:
    """What differs between a pool and the reference, one sentence each.

    Args:
        pool: which one.
        reference: what it is held against.
    """
    labels = (pool.label, reference.label)
    found = []
    for part, what in _PARTS.items():
        held = [each.first.data(part) for each in (pool, reference)]
        if all(held) and held[0].get("sha256") != held[1].get("sha256"):
            told = [f"{each.get('examples'):,} examples" for each in held]
            found.append(f"{what}: {_two(labels, told)}")
    for what, read in _READ.items():
        one, other = read(pool), read(reference)
        if one != other and one is not None and other is not None:
            found.append(f"{what}: {_two(labels, [str(one), str(other)])}")
    return found


def caveats(pools: Sequence[Pool], reference: Pool) -> list[str]:
    """What stands at the top of a comparison because it makes what is below it doubtful.

    Args:
        pools: what is compared.
        reference: what the others are held against.
    """
    found = []
    for pool in pools:
        if pool is not reference:
            differ = unequal(pool, reference)
            found += [f"{pool.label} and {reference.label} differ in their {said}" for said in differ]
        found += list(_of_one(pool))
    if any(_scores_missing(pool) for pool in pools):
        without = ", ".join(pool.label for pool in pools if _scores_missing(pool))
        found.append(
            f"{without}: the run kept no scores of single test examples, so that its differences have "
            "intervals over seeds alone, which say nothing about another test set, and no example is named"
        )
    return list(dict.fromkeys(found))


def _of_one(pool: Pool) -> Iterator[str]:
    if pool.against is None:
        yield (f"{pool.label} has no control: nothing here shows that its teacher helped; run it with one")
    if not pool.first.results.get("teacher"):
        yield f"{pool.label} has no teacher that was measured"
    if pool.repeated:
        seeds = ", ".join(map(str, pool.repeated))
        folders = " and ".join(str(record.folder) for record in pool.records)
        yield f"{pool.label}: seed {seeds} is in more than one of {folders}; the first one's numbers count"
    for outcome in dict.fromkeys([pool.primary, pool.against]):
        if outcome is not None and (failed := pool.failed(outcome)):
            seeds = ", ".join(map(str, failed))
            yield f"{pool.label}: seed {seeds} of the {outcome} broke off, and counts as a guess"
    for record in pool.records:
        yield from (f"{pool.label}: {said}" for said in sequence(record.results.get("sanity")))


def _scores_missing(pool: Pool) -> bool:
    return pool.scores(pool.primary) is None


def _two(labels: Sequence[str], told: Sequence[str]) -> str:
    """One of each, or only what both say where that is alike though hashes are not."""
    if told[0] == told[1]:
        return f"{told[0]} each, and not the same ones"
    return f"{told[0]} of {labels[0]}, {told[1]} of {labels[1]}"


def _steps(pool: Pool) -> Any:
    return mapping(pool.first.outcomes[pool.primary]).get("steps")


def _machine(pool: Pool) -> str | None:
    machine = mapping(pool.first.environment.get("machine"))
    parts = [machine.get(name) for name in ("processor", "accelerator")]
    threads = counted(machine["threads"], "thread") if machine.get("threads") else None
    return ", ".join(str(part) for part in [*parts, threads] if part) or None


def _versions(pool: Pool) -> str | None:
    held = mapping(pool.first.environment.get("versions"))
    return ", ".join(f"{name} {held[name]}" for name in _VERSIONS if name in held) or None


_READ: dict[str, Callable[[Pool], Any]] = {
    "number of steps": _steps,
    "machine": _machine,
    "versions": _versions,
}
