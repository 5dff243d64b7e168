"""How much faster a step is when the teacher answers the next batch while the student learns.

One process takes blocks of training steps in turns: one thread, the teacher asked in each step; the teacher
ahead, on a thread of its own; and two threads without that, which is what else a second core is good for. The
bound is (3 + r) / max(3, r), where r is the teacher's forward arithmetic over the student's.

    python benchmarks/teacher_ahead.py --data data [--cases mlp resnet] [--blocks 7] [--steps 20]

`data` is a folder with `mnist` and `cifar10` in it. Two cores must be idle.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from stored_speed import CASES, block, flops

from tutelage.engine import Runtime
from tutelage.recipes import build, load
from tutelage.teachers import Ahead

PAIRS = ("mlp", "resnet")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", default=list(PAIRS), choices=PAIRS)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    rows = [measure(CASES[name], options) for name in options.cases]
    path = Path(__file__).parent / "results" / f"teacher_ahead-{date.today()}.json"
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    path.write_text(json.dumps(machine | {"rows": rows}, indent=2, ensure_ascii=False) + "\n")
    print(f"wrote {path}")


def measure(case: tuple[str, str, str, list[str]], options: argparse.Namespace) -> dict[str, Any]:
    """One pair of networks."""
    title, recipe, folder, changes = case
    data = f"task.data={(options.data / folder).resolve()}"
    study = build(load(recipe, changes=[data, "control=false", *changes]), recipe, seeds=1)
    arm, runtime = study.arms["student"], Runtime(cpu=True, quiet=True)
    teacher = study.teacher.finish([])
    ratio = flops(teacher, arm, "teacher") / flops(arm.networks["student"](), arm, "student")
    ways = {"in turn": (teacher, 1), "ahead": (Ahead(teacher), 1), "two threads": (teacher, 2)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.blocks):
        for name, (asked, threads) in ways.items():
            torch.set_num_threads(threads)
            seconds[name].append(block(study, arm, asked, options.steps, runtime))
    gains = {
        name: quantiles([one / other for one, other in zip(seconds["in turn"], seconds[name], strict=True)])
        for name in ("ahead", "two threads")
    }
    bound = (3 + ratio) / max(3, ratio)
    print(
        f"{title}: ahead {gains['ahead'][1]:.2f}× (bound {bound:.2f}), "
        f"two threads {gains['two threads'][1]:.2f}×"
    )
    return {
        "case": title,
        "teacher_over_student_flops": ratio,
        "bound": bound,
        "speed_up": gains,
        "ms_a_step": {name: 1e3 * median(held) for name, held in seconds.items()},
    }


if __name__ == "__main__":
    main()
