"""Stores and tables at their largest: seconds, memory, and what a reader's memory grows by.

    python benchmarks/load.py [--answers 2000000] [--readers 50] [--rows 5000000] [--seconds 600]

A linear teacher's answers are labelled into a store; readers, a process each, then open it at once and ask
for random batches until the time is up. A table of numbers is written as Parquet and read as a task. Nothing
is trained. Memory is what the kernel calls resident. Of a mapped file that includes pages which the kernel
may drop at any time, so what a reader has for itself (anonymous memory) is listed beside it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tutelage as tl
from tutelage.answers import Answers
from tutelage.tasks.tabular import classification
from tutelage.types import Batch

FEATURES, CLASSES, BATCH = 8, 10, 256


def inputs_of(numbers: torch.Tensor) -> torch.Tensor:
    """The inputs of some examples, told from their numbers alone."""
    return torch.sin(numbers[:, None].double() * torch.arange(1, FEATURES + 1)).float()


def main() -> None:
    """Measure, and print JSON."""
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, usual in (("answers", 2_000_000), ("readers", 50), ("rows", 5_000_000), ("seconds", 600)):
        wanted.add_argument(f"--{name}", type=int, default=usual)
    asked = wanted.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = {"store": store(Path(folder), asked.answers)}
        print(json.dumps(found["store"]), flush=True)
        found["readers"] = readers(Path(folder) / "answers", asked.answers, asked.readers, asked.seconds)
        print(json.dumps(found["readers"]), flush=True)
        found["table"] = table(Path(folder), asked.rows)
        print(json.dumps(found["table"]), flush=True)


def store(folder: Path, count: int) -> dict[str, Any]:
    """Label so many examples."""
    torch.manual_seed(0)
    teacher = torch.nn.Linear(FEATURES, CLASSES)
    inputs = inputs_of(torch.arange(count))
    labels = teacher(inputs[:1024]).argmax(1)
    clock = time.perf_counter()
    tl.label(
        teacher,
        (inputs, torch.zeros(count, dtype=torch.int64).index_copy_(0, torch.arange(len(labels)), labels)),
        out=folder / "answers",
        form="dense:float16",
        quiet=True,
        validation=(inputs[:1024], labels),
    )
    files = sum(path.stat().st_size for path in (folder / "answers").rglob("*") if path.is_file())
    return {"answers": count, "seconds": seconds(clock), "bytes": files, "peak": peak()}


def readers(place: Path, answers: int, count: int, lasting: int) -> dict[str, Any]:
    """So many processes read at once."""
    context = multiprocessing.get_context("spawn")
    queue: Queue[dict[str, Any]] = context.Queue()
    clock = time.perf_counter()
    working = [
        context.Process(target=read, args=(place, answers, number, lasting, queue)) for number in range(count)
    ]
    for each in working:
        each.start()
    told = [queue.get(timeout=lasting + 1800) for _ in working]
    for each in working:
        each.join()
    return {
        "readers": count,
        "seconds": seconds(clock),
        "failed": sum(each.exitcode != 0 for each in working),
        "first_reading_seconds": max(one["first"] for one in told),
        "batches": sum(one["batches"] for one in told),
        "alone_after_first": max(one["early"] for one in told),
        "alone_at_the_end": max(one["late"] for one in told),
        "growth": max(one["late"] - one["early"] for one in told),
        "resident": max(one["resident"] for one in told),
    }


def read(place: Path, answers: int, number: int, lasting: int, queue: Queue[dict[str, Any]]) -> None:
    """Ask for random batches until the time is up."""
    torch.set_num_threads(1)
    drawn, clock, batches = np.random.default_rng(number), time.perf_counter(), 0
    held = Answers(place)

    def one() -> None:
        ids = torch.from_numpy(drawn.integers(answers, size=BATCH))
        assert held.outputs(Batch(inputs_of(ids), ids)).logits is not None

    one()
    first = time.perf_counter() - clock
    for _ in range(200):  # so that what is kept once is kept
        one()
    early, begun = alone(), time.perf_counter()
    while time.perf_counter() - begun < lasting:
        one()
        batches += 1
    queue.put({"first": first, "batches": batches, "early": early, "late": alone(), "resident": peak()})


def table(folder: Path, count: int) -> dict[str, Any]:
    """Read so many rows as a task."""
    import pyarrow as arrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    numbers = inputs_of(torch.arange(count)).numpy()
    columns = {f"x{n}": numbers[:, n] for n in range(FEATURES)} | {"label": (numbers[:, 0] > 0).astype(int)}
    parquet.write_table(arrow.table(columns), folder / "rows.parquet")
    del numbers, columns
    clock = time.perf_counter()
    problem = classification(data=str(folder / "rows.parquet"))
    batch = problem.train.batch(range(BATCH))
    return {
        "rows": count,
        "seconds": seconds(clock),
        "peak": peak(),
        "train": len(problem.train),
        "batch": len(batch),
    }


def seconds(since: float) -> float:
    """Since then."""
    return round(time.perf_counter() - since, 1)


def peak() -> int:
    """The most memory that this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def alone() -> int:
    """The memory of this process that lies in no file, in bytes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
