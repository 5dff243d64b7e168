"""Time and memory of losses on logits that are computed in chunks, over those on logits that are all there.

Both start from hidden states, and both end with the gradients of the student's hidden states and of the
weight of its head. Plain: the logits of student and teacher by a linear layer, the loss without chunks, a
backward pass. Chunked: the same loss, given `HeadLogits`. Time is the median ratio of pairs that are run in
turns in one process; memory is the peak of live storages beyond the inputs, which is the same on any machine.

    python benchmarks/head_memory.py [--tokens 2048] [--vocabulary 49152] [--width 576] [--dtype float32]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.evaluation.memory import LiveStorages
from tutelage.losses import Loss, response
from tutelage.types import HeadLogits

BAR = {"time": 1.05, "peak": 0.20}
LOSSES: dict[str, Callable[..., Loss]] = {
    "SoftTarget": response.SoftTarget,
    "ReverseSoftTarget": response.ReverseSoftTarget,
    "JensenShannonTarget": response.JensenShannonTarget,
    "SkewedSoftTarget": response.SkewedSoftTarget,
    "TotalVariationTarget": response.TotalVariationTarget,
    "HardLabel": response.HardLabel,
    "MixedTarget": response.MixedTarget,
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--chunk-size", type=int, help="rows of a chunk; by default what fits 32 MB")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=LOSSES)
    options = parser.parse_args()
    rows = []
    for dtype in options.dtype:
        for name in LOSSES:
            if options.only in (None, name):
                rows.append(row := measure(name, dtype, options))
                times, peaks = row["seconds"], row["peak_mb"]
                print(
                    f"{name:20} {dtype:9} time {times['chunked']:7.2f} / {times['plain']:7.2f} s "
                    f"= {row['time']:.2f}   peak {peaks['chunked']:7.1f} / {peaks['plain']:7.1f} MB "
                    f"= {row['peak']:.2f}",
                    flush=True,
                )
    write(rows, vars(options))


def measure(name: str, dtype: str, options: argparse.Namespace) -> dict[str, Any]:
    """One loss, chunked and plain."""
    generator = torch.Generator().manual_seed(0)
    kind: torch.dtype = getattr(torch, dtype)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(kind)

    width, classes = options.width, options.vocabulary
    hidden, weight = draw(options.tokens, width), draw(classes, width).div_(width**0.5)
    student = HeadLogits(hidden.requires_grad_(), weight.requires_grad_())
    teacher = HeadLogits(draw(options.tokens, width), draw(classes, width).div_(width**0.5))
    labels = torch.randint(classes, (options.tokens,), generator=generator)
    softened = {"temperature": options.temperature} if name != "HardLabel" else {}
    chunks = {"chunk_size": options.chunk_size} if name != "HardLabel" else {}
    forms = {
        "chunked": partial(step, LOSSES[name](**softened, **chunks), student, teacher, labels, whole=False),
        "plain": partial(step, LOSSES[name](**softened), student, teacher, labels, whole=True),
    }
    known = [hidden, weight, teacher.hidden, teacher.weight, labels]
    peaks = {form: peak_of(run, known) for form, run in forms.items()}
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(options.rounds):
        for form, run in forms.items():
            seconds[form].append(timed(run))
    ratios = [ours / theirs for ours, theirs in zip(seconds["chunked"], seconds["plain"], strict=True)]
    return {
        "loss": name,
        "dtype": dtype,
        "time": median(ratios),
        "peak": peaks["chunked"] / peaks["plain"],
        "seconds": {form: median(held) for form, held in seconds.items()},
        "peak_mb": {form: peak / 1e6 for form, peak in peaks.items()},
        "ratios": ratios,
    }


def step(loss: Loss, student: HeadLogits, teacher: HeadLogits, labels: Tensor, *, whole: bool) -> None:
    """A forward and a backward pass; the gradients are taken and dropped."""
    ours = F.linear(student.hidden, student.weight) if whole else student
    given = {"labels": labels} if "labels" in loss.needs else {}
    if "teacher" in loss.needs:
        with torch.no_grad():
            given["teacher"] = F.linear(teacher.hidden, teacher.weight) if whole else teacher
    value = loss(ours, **given)
    torch.autograd.grad(value, [student.hidden, student.weight])


def peak_of(run: Callable[[], None], known: list[Tensor]) -> int:
    """The peak of live storages beyond `known`."""
    gc.collect()
    storages = LiveStorages(known)
    with storages:
        run()
    return storages.peak


def timed(run: Callable[[], None]) -> float:
    """Seconds of one run."""
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def write(rows: list[dict[str, Any]], options: dict[str, Any]) -> None:
    """The dated results, beside the machine's name."""
    path = Path(__file__).parent / "results" / f"head_memory-{date.today()}.json"
    held = {
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "options": options,
        "bar": BAR,
    }
    path.write_text(json.dumps(held | {"rows": rows}, indent=2) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
