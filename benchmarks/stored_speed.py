"""How much faster an epoch is when the teacher's answers are read and not computed.

For each pair of networks, one process takes blocks of training steps in turns, with the teacher and with its
stored answers: the same student, data, batch size and optimiser. The bound is 1 + r/3, where r is the
teacher's forward arithmetic over the student's: a student's step is three forwards. Reading alone is timed
too.

    python benchmarks/stored_speed.py --data data [--cases mlp resnet] [--blocks 12] [--steps 10]
    python benchmarks/stored_speed.py --data data --cases language --form topk:50@1 \
        --set task.tokenizer=… --set teacher.model.path=… --set student.model.path=…

`data` is a folder with `mnist` and `cifar10` (and `text`) in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tutelage.capture import capture
from tutelage.data import Loader
from tutelage.engine import Runtime, fit
from tutelage.labelling import LabelSettings, finish, prepare
from tutelage.recipes import build, load
from tutelage.studies import Arm, Study
from tutelage.teachers import Stored, Teacher
from tutelage.training import set_up_stage
from tutelage.types import Batch

CASES = {
    "mlp": (
        "MNIST, MLP 2×1200 → 2×800, batch 256",
        "vision/mnist_hinton",
        "mnist",
        ["teacher={frozen: {model: {mlp: {widths: [1200, 1200]}}}}"],
    ),
    "resnet": (
        "CIFAR-10, ResNet-32x4 → 8x4, batch 64",
        "vision/cifar10_resnet8",
        "cifar10",
        [
            "teacher={frozen: {model: resnet32x4}}",
            "student.model=resnet8x4",
            "task.train=2000",
            "task.validation=200",
            "stages.0.train={epochs: 1, batch_size: 64}",
        ],
    ),
    "language": (
        "WikiText-2, SmolLM2-135M → ten of its thirty layers, rows of 256",
        "language/smollm2_depth",
        "text",
        [],
    ),
}
BAR = 0.95


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", default=["mlp", "resnet"], choices=list(CASES))
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--form", default="dense:float32")
    parser.add_argument("--set", action="append", default=[], help="further changes of the recipes")
    options = parser.parse_args()
    rows = [measure(CASES[name], options) for name in options.cases]
    path = Path(__file__).parent / "results" / f"stored_speed-{date.today()}.json"
    held = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "bar": BAR,
        "rows": rows,
    }
    path.write_text(json.dumps(held, indent=2, ensure_ascii=False) + "\n")
    print(f"wrote {path}")


def measure(case: tuple[str, str, str, list[str]], options: argparse.Namespace) -> dict[str, Any]:
    """One pair of networks."""
    title, recipe, folder, changes = case
    data = f"task.data={(options.data / folder).resolve()}"
    study = build(load(recipe, changes=[data, "control=false", *changes, *options.set]), recipe, seeds=1)
    runtime = Runtime(cpu=True, quiet=True)
    with tempfile.TemporaryDirectory() as out:
        stated = prepare(study, out, LabelSettings(form=options.form), runtime)
        stated.labelling.run()
        stored_bytes = finish(stated)["bytes"]
        live, stored = stated.labelling.teacher, Stored(out)
        arm = study.arms["student"]
        ratio = flops(live, arm, "teacher") / flops(arm.networks["student"](), arm, "student")
        pairs = [timed_pair(study, arm, live, stored, options.steps, runtime) for _ in range(options.blocks)]
        reading = read_seconds(arm, stored)
    gains = sorted(one / other for one, other in pairs)
    bound, step = 1 + ratio / 3, median(other for _, other in pairs)
    low, middle, high = quantiles(gains, n=4)
    row = {
        "case": title,
        "teacher_over_student_flops": ratio,
        "bound": bound,
        "speed_up": middle,
        "quartiles": [low, high],
        "part_of_bound": middle / bound,
        "ms_a_step_live": 1e3 * median(one for one, _ in pairs),
        "ms_a_step_stored": 1e3 * step,
        "ms_a_read": 1e3 * reading,
        "reading_over_training": step / reading,
        "form": options.form,
        "store_bytes": stored_bytes,
    }
    print(
        f"{title}: {middle:.3f}× faster ({low:.3f} to {high:.3f}), {middle / bound:.1%} of the bound "
        f"{bound:.3f}; reading is {step / reading:.0f} times as fast as training"
    )
    return row


def flops(asked: nn.Module, arm: Arm, who: str) -> float:
    """Of one forward pass over a batch."""
    batch = arm.source.batch(range(8))
    asked.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = asked(batch) if who == "teacher" else capture(asked, batch.inputs)
        if outputs.head is not None:
            outputs.head.whole()
    return float(counter.get_total_flops())


def timed_pair(
    study: Study, arm: Arm, live: Teacher, stored: Teacher, steps: int, runtime: Runtime
) -> tuple[float, float]:
    """Median seconds of a step with the teacher, and from the store."""
    first, second = (partial(block, study, arm, one, steps, runtime) for one in (live, stored))
    one, other = first(), second()
    return one, other


def block(study: Study, arm: Arm, teacher: Teacher, steps: int, runtime: Runtime) -> float:
    network = arm.networks["student"]()
    stage = arm.stages[0]
    scheme, loader = set_up_stage(arm, 0, network, study.problem, runtime, seed=0, teacher=lambda _: teacher)
    clocked = Clocked(loader)
    settings = stage.settings.model_copy(update={"epochs": None, "steps": steps + 2, "checkpoint_every": 1e9})
    fit(scheme.turns(), scheme.modules, clocked, settings, optimizers=stage.optimizers, runtime=runtime)
    return median(clocked.seconds[2:])


def read_seconds(arm: Arm, stored: Stored) -> float:
    """Median seconds to look one batch up, hashing of its examples included."""
    settings = arm.stages[0].settings
    seconds = []
    for number, micros in enumerate(Loader(arm.source, batch_size=settings.batch_size).epoch(0)):
        clock = time.perf_counter()
        for batch in micros:
            stored(batch)
        seconds.append(time.perf_counter() - clock)
        if number == 50:
            break
    return median(seconds[1:] or seconds)


class Clocked:
    """Batches that note how long each step took, loading included."""

    def __init__(self, batches: Loader) -> None:
        self.batches = batches
        self.seconds: list[float] = []

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Sequence[Batch]]:
        """The same batches."""
        begin = time.perf_counter()
        for micros in self.batches.epoch(epoch, start):
            try:
                yield micros
            finally:
                end = time.perf_counter()
                self.seconds.append(end - begin)
                begin = end


if __name__ == "__main__":
    main()
