"""Two processes of one thread each against one of two threads: the same global batch, the same student.

Both train in turns, A B B A …, for some steps; a pair is one of each, side by side. Its ratio is the
throughput of two processes over that of one; the bar is 0.9. The peak memory of each process is beside it,
and the mean losses, which agree but where batch norm sees each process's own part.

    python benchmarks/two_processes.py --data data/cifar10 [--pairs 6] [--steps 20]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from typing import Any

CASES = {
    "resnet": (
        "ResNet-32x4 → 8x4, batch 64",
        "vision/cifar10_resnet8",
        "cifar10",
        ["teacher={frozen: {model: resnet32x4}}", "student.model=resnet8x4", "task.train=2000"],
        64,
    ),
    "mlp": (
        "MLP 2×1200 → 2×800, batch 256",
        "vision/mnist_hinton",
        "mnist",
        ["teacher={frozen: {model: {mlp: {widths: [1200, 1200]}}}}"],
        256,
    ),
    "mlp1024": (
        "MLP 2×1200 → 2×800, batch 1,024",
        "vision/mnist_hinton",
        "mnist",
        ["teacher={frozen: {model: {mlp: {widths: [1200, 1200]}}}}"],
        1024,
    ),
}
BAR = 0.9


def main() -> None:
    """Run the pairs, or one of their processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.data, options.steps)
        return
    rows = [measure(name, options) for name in options.cases]
    path = Path(__file__).parent / "results" / f"two_processes-{date.today()}.json"
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "bar": BAR}
    path.write_text(json.dumps(machine | {"rows": rows}, indent=2, ensure_ascii=False) + "\n")
    print(f"wrote {path}")


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The pairs of one case."""
    one, two = [], []
    for number in range(options.pairs):
        for world in (1, 2) if number % 2 == 0 else (2, 1):
            (one if world == 1 else two).append(together(name, options, world))
    ratios = sorted(a["seconds"] / b["seconds"] for a, b in zip(one, two, strict=True))
    low, middle, high = quantiles(ratios, n=4)
    row = {
        "case": CASES[name][0],
        "throughput_ratio": middle,
        "quartiles": [low, high],
        "ms_a_step": {
            "one": 1e3 * median(a["seconds"] for a in one),
            "two": 1e3 * median(b["seconds"] for b in two),
        },
        "peak_mb": {"one": one[0]["mb"], "two": two[0]["mb"]},
        "loss": {"one": one[0]["loss"], "two": two[0]["loss"]},
    }
    print(f"{row['case']}: {middle:.3f} ({low:.3f} to {high:.3f}); MB {row['peak_mb']}; loss {row['loss']}")
    return row


def together(name: str, options: argparse.Namespace, world: int) -> dict[str, Any]:
    """One training, on one process or two."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        started = []
        for rank in range(world):
            environment = os.environ | {"OMP_NUM_THREADS": str(2 // world)}
            if world > 1:
                environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
                environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            command = [sys.executable, __file__, "--data", str(options.data), "--steps", str(options.steps)]
            started.append(
                subprocess.Popen(
                    [*command, "--worker", f"{name}:{folder}"], stdout=subprocess.PIPE, env=environment
                )
            )
        said = [json.loads(process.communicate()[0]) for process in started]
    return {
        "seconds": max(one["seconds"] for one in said),
        "loss": said[0]["loss"],
        "mb": [one["mb"] for one in said],
    }


def work(what: str, data: Path, steps: int) -> None:
    """Train for some steps and say how long one took."""
    import torch
    from stored_speed import Clocked

    from tutelage.engine import Runtime, fit
    from tutelage.recipes import build, load
    from tutelage.training import Classroom, set_up_stage

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    name, _, folder = what.partition(":")
    _, recipe, place, changes, batch = CASES[name]
    length = [f"stages.0.train={{steps: {steps + 3}, batch_size: {batch}}}", "control=false"]
    study = build(
        load(recipe, changes=[f"task.data={(data / place).resolve()}", *changes, *length]), recipe, seeds=1
    )
    runtime = Runtime(cpu=os.environ.get("WORLD_SIZE") is None, quiet=True)
    classroom = Classroom(study, [], runtime, ahead=False)
    arm = study.arms["student"]
    network = arm.networks["student"]()
    scheme, loader = set_up_stage(
        arm, 0, network, study.problem, runtime, seed=0, teacher=lambda _: classroom.teacher(arm, None)
    )
    clocked, stage = Clocked(loader), arm.stages[0]
    fitted = fit(
        scheme.turns(),
        scheme.modules,
        clocked,
        stage.settings,
        optimizers=stage.optimizers,
        runtime=runtime,
        folder=Path(folder) / "run" if runtime.is_main else Path(folder) / f"rank{runtime.rank}",
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    loss = [record["loss"] for record in fitted.history if "loss" in record][-1]
    print(json.dumps({"seconds": median(clocked.seconds[3:]), "mb": peak, "loss": loss}))


if __name__ == "__main__":
    main()
