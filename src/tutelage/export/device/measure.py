"""Measure the student of this folder on this machine.

    python measure.py                          the first network, one thread
    python measure.py --network int8 --threads 1 4 --output int8.json

Needs numpy and onnxruntime. Prints JSON that `tutelage compare` takes beside runs: latency in milliseconds of
a whole batch, the file's bytes, the process's peak memory, energy where the machine can be read (RAPL), and
quality where the folder has examples.npz.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from predict import HERE, Arrays, Student, read_arrays

POWER = Path("/sys/class/powercap")
_WARM, _LEAST, _AT_ONCE = 10, 50, 64
_IGNORED = -100  # the label of what has none


def latency(student: Student, inputs: Arrays, *, threads: int, seconds: float) -> dict[str, Any]:
    """Quantiles of the time for a whole batch, in milliseconds.

    Args:
        student: whom to time.
        inputs: of the batch.
        threads: that it was made with, for the record.
        seconds: to go on for; 50 calls at least.
    """
    for _ in range(_WARM):
        student.logits(inputs)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _LEAST or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        student.logits(inputs)
        times.append(1000 * (time.perf_counter() - start))
    quarters = [float(np.median(part)) for part in np.array_split(times, 4)]
    p50, p95, p99 = (float(found) for found in np.percentile(times, [50, 95, 99]))
    stable = max(quarters) <= 1.1 * min(quarters)
    return {"p50": p50, "p95": p95, "p99": p99, "stable": stable, "threads": threads}


def quality(logits: Any, labels: Any, metric: str) -> float | None:
    """What answers are worth by the metric that the student was judged by; None for one not known here."""
    if metric == "accuracy" and labels.ndim == 1:
        named = logits[:, 0] > 0 if logits.shape[-1] == 1 else logits.argmax(-1)
        return float((named == labels).mean())
    if metric == "mse":
        return float(((logits - labels.reshape(logits.shape)) ** 2).mean())
    if metric == "nll":
        flat, wanted = logits.reshape(-1, logits.shape[-1]).astype(np.float64), labels.reshape(-1)
        flat, wanted = flat[wanted != _IGNORED], wanted[wanted != _IGNORED]
        top = flat.max(-1, keepdims=True)
        whole = top[:, 0] + np.log(np.exp(flat - top).sum(-1))
        return float((whole - flat[np.arange(len(wanted)), wanted]).mean())
    return None


def in_pieces(inputs: Arrays, names: Sequence[str]) -> Iterator[Arrays]:
    """Inputs, some examples at a time."""
    count = len(inputs[names[0]])
    for start in range(0, count, _AT_ONCE):
        yield {name: inputs[name][start : start + _AT_ONCE] for name in names}


def filled(inputs: Arrays, names: Sequence[str], count: int) -> Arrays:
    """So many examples, repeated where there are fewer."""
    places = np.arange(count) % len(inputs[names[0]])
    return {name: inputs[name][places] for name in names}


def made_up(about: dict[str, Any]) -> Arrays:
    """One example of nothing: zeros, and empty words."""
    made = {}
    for given in about["inputs"]:
        shape = [1, *given["shape"][1:]]
        words = given["dtype"] == "string"
        made[given["name"]] = np.full(shape, "") if words else np.zeros(shape, dtype=given["dtype"])
    return made


def joules() -> dict[Path, float] | None:
    """What each processor has used so far; None where that cannot be read."""
    found = {}
    with contextlib.suppress(OSError, ValueError):
        for zone in sorted(POWER.glob("*:*")):
            if zone.name.count(":") == 1 and (zone / "energy_uj").is_file():
                found[zone] = int((zone / "energy_uj").read_text()) / 1e6
    return found or None


def used(before: dict[Path, float] | None, after: dict[Path, float] | None) -> float | None:
    """Joules between two readings, counters that began anew included."""
    if before is None or after is None:
        return None
    total = 0.0
    for zone, start in before.items():
        spent = after.get(zone, start) - start
        if spent < 0:
            with contextlib.suppress(OSError, ValueError):
                spent += int((zone / "max_energy_range_uj").read_text()) / 1e6
        total += max(0.0, spent)
    return total


def energy(student: Student, inputs: Arrays, count: int, *, seconds: float) -> float | None:
    """Joules of an example, the whole machine's idling included; None where that cannot be read."""
    before = joules()
    if before is None:
        return None
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        student.logits(inputs)
        calls += 1
    spent = used(before, joules())
    return None if not spent else spent / (calls * count)


def peak_memory() -> int | None:
    """Bytes that this process held at most, Python and the runtime included; None where that is not told."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else 1024 * int(peak)


def machine() -> str:
    """The board or the processor, and its cores."""
    found = ""
    with contextlib.suppress(OSError):
        found = Path("/proc/device-tree/model").read_text("utf-8").strip("\0\n ")
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        found = found or next(iter(named), "")
    return f"{found or platform.processor() or 'unknown'}, {platform.machine()}, {os.cpu_count()} cores"


def measure(
    folder: Path = HERE,
    *,
    which: str | None = None,
    name: str | None = None,
    batches: Sequence[int] = (1, 32),
    threads: Sequence[int] = (1,),
    seconds: float = 1.0,
) -> dict[str, Any]:
    """Everything, in the shape that `tutelage compare` reads.

    Args:
        folder: the bundle.
        which: one of its networks; the first by default.
        name: what to call the measure.
        batches: sizes to time.
        threads: numbers of threads to time with; the first one is shown.
        seconds: for each.
    """
    student = Student(folder, which=which, threads=threads[0])
    file = folder / "examples.npz"
    held = read_arrays(file) if file.is_file() else None
    shown = made_up(student.about) if held is None else held
    cost: dict[str, Any] = {
        "parameters": student.about.get("parameters"),
        "bytes": student.path.stat().st_size,
    }
    told, metric = {}, student.about["metric"]
    if held is not None:
        logits = np.concatenate([student.logits(part) for part in in_pieces(held, student.names)])
        found = quality(logits, held["labels"], metric) if "labels" in held else None
        told = {} if found is None else {metric: found}
        apart = float(np.abs(logits[: len(held["logits"])] - held["logits"]).max())
        sys.stderr.write(f"answers differ from the network's by {apart:.3g} at most\n")
    times = {}
    for place, count in enumerate(threads):
        timed = student if not place else Student(folder, which=which, threads=count)
        for size in batches:
            key = str(size) if not place else f"{size}, {count} threads"
            inputs = filled(shown, student.names, size)
            times[key] = latency(timed, inputs, threads=count, seconds=seconds)
    cost["latency_ms"] = times
    cost["energy_joules"] = energy(student, filled(shown, student.names, 1), 1, seconds=seconds)
    cost["peak_memory_bytes"] = peak_memory()
    return {
        "name": name or f"{student.about['name']}, {student.which}",
        "kind": "measure",
        "quality": told,
        "cost": {key: value for key, value in cost.items() if value is not None},
        "machine": machine(),
        "examples": len(held["labels"]) if held is not None and told else None,
    }


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", help="which network of the bundle, such as float32")
    parser.add_argument("--name", help="what to call the measure")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each timing")
    parser.add_argument("--output", type=Path, help="a file to write to, in place of the terminal")
    asked = parser.parse_args(words)
    found = measure(
        which=asked.network,
        name=asked.name,
        batches=asked.batches,
        threads=asked.threads,
        seconds=asked.seconds,
    )
    text = json.dumps(found, indent=2) + "\n"
    if asked.output is None:
        sys.stdout.write(text)
    else:
        asked.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
