"""Heads compared in our chunks and by Liger: time, memory, and how far the gradient is from float64's.

Each way takes hidden states and heads of student and teacher, and ends with the gradients of the student's
hidden states and head. `chunks` is ours; `chunked` is Liger's chunked Jensen–Shannon loss, which is plain
torch and runs anywhere; `kernel` is its Triton kernel, on CUDA only. Ratios over ours are medians of rounds
in turns; memory is the peak of live storages (on CUDA: of its allocator) beyond the inputs. The error is that
of the first 256 items, relative to the same inputs in float64.

    pip install liger-kernel
    python benchmarks/beside_liger.py --device cuda --tokens 8192 --vocabulary 128256 --width 2048
    python benchmarks/beside_liger.py --tokens 2048 --vocabulary 49152 --width 576 --rounds 1
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from head_memory import peak_of, timed
from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDFunction
from torch import Tensor

from tutelage.losses.heads.liger import compare_with_liger
from tutelage.losses.response import JensenShannonTarget, ReverseSoftTarget, SoftTarget
from tutelage.losses.softened import Softened
from tutelage.types import HeadLogits

Way = Callable[[HeadLogits, HeadLogits], Tensor]
CHECKED = 256


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument(
        "--liger-chunk", type=int, default=1024, help="rows of a chunk of Liger's chunked loss"
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    losses = [SoftTarget(temperature=1.0), ReverseSoftTarget(temperature=1.0), JensenShannonTarget()]
    rows = [measure(loss, dtype, options) for dtype in options.dtype for loss in losses]
    path = Path(__file__).parent / "results" / f"beside_liger-{date.today()}.json"
    held = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
    path.write_text(json.dumps(held | {"options": vars(options), "rows": rows}, indent=2) + "\n")
    print(f"wrote {path}")


def measure(loss: Softened, dtype: str, options: argparse.Namespace) -> dict[str, Any]:
    """All ways to one loss."""
    device, kind = torch.device(options.device), getattr(torch, dtype)
    generator = torch.Generator().manual_seed(0)

    def head() -> HeadLogits:
        hidden = torch.randn(options.tokens, options.width, generator=generator)
        weight = torch.randn(options.vocabulary, options.width, generator=generator) / options.width**0.5
        return HeadLogits(hidden.to(device, kind), weight.to(device, kind))

    student, teacher = head(), head()
    student.hidden.requires_grad_()
    student.weight.requires_grad_()
    ways: dict[str, Way] = {"chunks": loss, "chunked": partial(chunked, loss, options.liger_chunk)}
    if device.type == "cuda":
        ways["kernel"] = lambda ours, theirs: compare_with_liger(ours, theirs, loss.between or 0.0)
    runs = {name: partial(step, way, student, teacher) for name, way in ways.items()}
    known = [student.hidden, student.weight, teacher.hidden, teacher.weight]
    peaks = {name: _peak(run, known, device) for name, run in runs.items()}
    rounds = [
        {name: timed(partial(_waited, run, device)) for name, run in runs.items()}
        for _ in range(options.rounds)
    ]
    row = {
        "loss": type(loss).__name__,
        "dtype": dtype,
        "time": {name: median(one[name] / one["chunks"] for one in rounds) for name in ways},
        "peak": {name: peak / peaks["chunks"] for name, peak in peaks.items()},
        "error": {name: error(way, loss, student, teacher) for name, way in ways.items()},
        "seconds": {name: median(one[name] for one in rounds) for name in ways},
        "peak_mb": {name: peak / 1e6 for name, peak in peaks.items()},
    }
    for name in ways:
        print(
            f"{row['loss']:20} {dtype:9} {name:8} {row['seconds'][name]:9.3f} s = {row['time'][name]:5.2f}   "
            f"{row['peak_mb'][name]:8.1f} MB = {row['peak'][name]:5.2f}   error {row['error'][name]:.1e}",
            flush=True,
        )
    return row


def chunked(loss: Softened, rows: int, student: HeadLogits, teacher: HeadLogits) -> Tensor:
    """Liger's chunked loss, of the divergence alone."""
    labels = torch.zeros(len(student.hidden), dtype=torch.long, device=student.hidden.device)
    sides = student.hidden, student.weight, teacher.hidden, teacher.weight, labels, None, None
    value: Tensor = LigerFusedLinearJSDFunction.apply(
        *sides, 0.0, 1.0, loss.between, -100, loss.temperature, False, rows
    )
    return value


def step(way: Way, student: HeadLogits, teacher: HeadLogits) -> tuple[Tensor, ...]:
    """A value's gradients."""
    return torch.autograd.grad(way(student, teacher), [student.hidden, student.weight])


def error(way: Way, loss: Softened, student: HeadLogits, teacher: HeadLogits) -> float:
    """The distance of the gradients from those of the plain loss in float64, relative to their norm."""
    sides = [HeadLogits(side.hidden[:CHECKED].detach(), side.weight.detach()) for side in (student, teacher)]
    exact = [HeadLogits(side.hidden.double(), side.weight.double()) for side in sides]
    for side in (sides[0], exact[0]):
        side.hidden.requires_grad_()
        side.weight.requires_grad_()
    found = step(way, *sides)
    plain = step(lambda ours, theirs: loss(ours.whole(), theirs.whole()), *exact)
    far = sum((ours.double() - theirs).square().sum() for ours, theirs in zip(found, plain, strict=True))
    return float((far / sum(theirs.square().sum() for theirs in plain)).sqrt())


def _peak(run: Callable[[], Any], known: list[Tensor], device: torch.device) -> int:
    if device.type == "cpu":
        return peak_of(run, known)
    torch.accelerator.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.accelerator.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _waited(run: Callable[[], Any], device: torch.device) -> None:
    run()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


if __name__ == "__main__":
    main()
