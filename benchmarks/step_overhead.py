"""What a step of the engine costs over a hand-written PyTorch loop that does the same arithmetic.

Both run in one process and take turns, a few steps each, in the order E H H E E H H E …, so that whatever
else the machine does meets both. The engine runs as a user runs it (`data.Loader`, `schemes.Offline`, a
`Frozen` teacher, `engine.fit`); the hand-written steps are made while the engine waits for its next batch. A
pair is one block of each, side by side; its ratio is the engine's seconds over the loop's.

    python benchmarks/step_overhead.py [--quick] [--blocks N] [--threads N] [--cases mlp resnet]

Before the clock runs, both take the same three steps from the same weights and must end at the same ones.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.data import Examples, Loader
from tutelage.engine import OptimizerSettings, Runtime, TrainSettings, fit
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.schemes import Offline
from tutelage.tasks.networks import mlp
from tutelage.tasks.vision.images import Scale
from tutelage.tasks.vision.models import resnet8x4, resnet32x4
from tutelage.teachers import Frozen
from tutelage.types import Batch

RESULTS = Path(__file__).with_name("results")
LEARNING_RATE, MOMENTUM = 0.01, 0.9
LAYER = "stages.1"


@dataclass(frozen=True)
class Case:
    """One pair of networks and what is matched between them."""

    title: str
    bar: float
    teacher: Callable[[], nn.Module]
    student: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    num_examples: int
    batch_size: int
    temperature: float
    steps_in_block: int
    blocks: int
    labels: bool = False
    hint: bool = False

    def matches(self) -> list[Match]:
        matches = [Match(response.SoftTarget(temperature=self.temperature))]
        if self.labels:
            matches.append(Match(response.HardLabel()))
        if self.hint:
            matches.append(Match(feature.Hint(), guided=LAYER))
        return matches


CASES = {
    "mlp": Case(
        title="MLP 2×1200 → 2×800, 28×28, batch 128: SoftTarget",
        bar=1.05,
        teacher=lambda: mlp(num_classes=10, in_features=784, widths=[1200, 1200]),
        student=lambda: mlp(num_classes=10, in_features=784, widths=[800, 800]),
        shape=(1, 28, 28),
        num_examples=60_000,
        batch_size=128,
        temperature=8.0,
        steps_in_block=5,
        blocks=120,
    ),
    "resnet": Case(
        title="ResNet-32x4 → ResNet-8x4, 32×32, batch 64: SoftTarget + HardLabel + Hint",
        bar=1.02,
        teacher=lambda: resnet32x4(num_classes=100),
        student=lambda: resnet8x4(num_classes=100),
        shape=(3, 32, 32),
        num_examples=5_000,
        batch_size=64,
        temperature=4.0,
        steps_in_block=1,
        blocks=24,
        labels=True,
        hint=True,
    ),
}

for terms, labels in (("one term", False), ("two terms", True)):
    CASES[f"tiny, {terms}"] = Case(
        title=f"64 → 64 → 10 teaches 64 → 16 → 10, batch 64, {terms}",
        bar=1.25,
        teacher=lambda: mlp(num_classes=10, in_features=64, widths=[64]),
        student=lambda: mlp(num_classes=10, in_features=64, widths=[16]),
        shape=(1, 8, 8),
        num_examples=1_500,
        batch_size=64,
        temperature=4.0,
        steps_in_block=23,
        blocks=120,
        labels=labels,
    )


class ByHand:
    """The loop as one would write it without a library."""

    def __init__(
        self, case: Case, teacher: nn.Module, student: nn.Module, data: tuple[Tensor, Tensor]
    ) -> None:
        self.case, self.teacher, self.student = case, teacher, student
        self.images, self.labels = data
        self.optimizer = torch.optim.SGD(student.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        self.features: dict[str, Tensor] = {}
        if case.hint:
            teacher.get_submodule(LAYER).register_forward_hook(self._keep("teacher"))
            student.get_submodule(LAYER).register_forward_hook(self._keep("student"))
        self.mean, self.std, self.count = 0.5, 0.5, 0
        self.order, self.at = torch.randperm(len(self.images)), 0

    def _keep(self, who: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            self.features[who] = output

        return hook

    def next_step(self) -> None:
        if self.at >= len(self.order):
            self.order, self.at = torch.randperm(len(self.images)), 0
        numbers = self.order[self.at : self.at + self.case.batch_size]
        self.at += self.case.batch_size
        pixels = self.images[numbers].float() / 255
        self.step((pixels - self.mean) / self.std, self.labels[numbers])

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        with torch.no_grad():
            teacher = self.teacher(inputs)
        student = self.student(inputs)
        temperature = self.case.temperature
        loss = temperature**2 * F.kl_div(
            F.log_softmax(student / temperature, -1),
            F.log_softmax(teacher / temperature, -1),
            reduction="batchmean",
            log_target=True,
        )
        if self.case.labels:
            loss = loss + F.cross_entropy(student, labels)
        if self.case.hint:
            loss = loss + F.mse_loss(self.features["student"], self.features["teacher"])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.count += 1
        if self.count % 50 == 0:
            loss.item()


@dataclass
class Clock:
    """Seconds of a block, on the wall and of this process alone."""

    wall: float = 0.0
    cpu: float = 0.0

    def start(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        self.wall += time.perf_counter() - self._began[0]
        self.cpu += time.process_time() - self._began[1]


class TakingTurns:
    """The engine's batches. While the engine asks for the next one, the other side takes its turn.

    A step of the engine lasts from one request to the next: loading, the step itself, history, checkpoints.
    """

    def __init__(self, loader: Loader, by_hand: ByHand, *, steps_in_block: int, warm_up: int) -> None:
        self.loader, self.by_hand, self.steps_in_block = loader, by_hand, steps_in_block
        self.warm_up = warm_up
        self.engine, self.hand = [Clock()], list[Clock]()
        self.steps, self.running = 0, False

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Sequence[Batch]]:
        self._finish_step()
        self._start_step()
        for micros in self.loader.epoch(epoch, start):
            yield micros
            self._finish_step()
            self._start_step()

    def finish(self) -> list[tuple[Clock, Clock]]:
        """The pairs, without those of the warm-up."""
        self._finish_step()
        whole = self.steps // self.steps_in_block
        return list(zip(self.engine[:whole], self.hand, strict=False))[self.warm_up :]

    def _start_step(self) -> None:
        self.running = True
        self.engine[-1].start()

    def _finish_step(self) -> None:
        if not self.running:
            return
        self.engine[-1].stop()
        self.running = False
        self.steps += 1
        if self.steps % self.steps_in_block == 0:
            self._other_side()
            self.engine.append(Clock())

    def _other_side(self) -> None:
        if len(self.engine) % 2 == 0:  # E H, H E, E H, …: the block by hand of this pair came first
            return
        for _ in range(2):
            clock = Clock()
            clock.start()
            for _ in range(self.steps_in_block):
                self.by_hand.next_step()
            clock.stop()
            self.hand.append(clock)


def make(case: Case) -> tuple[Offline, ByHand, Examples]:
    """Both sides, from the same weights, on the same made-up pictures."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (case.num_examples, *case.shape), dtype=torch.uint8)
    num_classes = 100 if case.hint else 10
    labels = torch.randint(0, num_classes, (case.num_examples,))
    teacher, student = case.teacher().eval().requires_grad_(False), case.student()
    by_hand = ByHand(case, copy.deepcopy(teacher), copy.deepcopy(student), (images, labels))
    scheme = Offline(student, Frozen(teacher), case.matches())
    channels = case.shape[0]
    examples = Examples(images, labels, prepare=Scale(255.0, [0.5] * channels, [0.5] * channels))
    scheme.prepare(examples.batch([0]))
    return scheme, by_hand, examples


def train(scheme: Offline, batches: Any, steps: int, folder: Path | None) -> None:
    fit(
        scheme.turns(),
        scheme.modules,
        batches,
        TrainSettings(steps=steps, batch_size=batches_size(batches), keep="last"),
        optimizers={
            "student": OptimizerSettings(name="sgd", options={"lr": LEARNING_RATE, "momentum": MOMENTUM})
        },
        runtime=Runtime(cpu=True, quiet=True),
        folder=folder,
    )


def batches_size(batches: Any) -> int:
    loader: Loader = getattr(batches, "loader", batches)
    return loader.batch_size


def check_same_arithmetic(case: Case) -> None:
    """Three steps from the same weights on the same batches must lead to the same weights."""
    scheme, by_hand, examples = make(case)
    loader = Loader(examples, batch_size=case.batch_size)
    train(scheme, loader, 3, None)
    by_hand.student.train()
    for (batch,), _ in zip(loader.epoch(0), range(3), strict=False):
        by_hand.step(batch.inputs, batch.labels)
    for ours, theirs in zip(scheme.student.parameters(), by_hand.student.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def measure(case: Case, *, blocks: int, folder: Path | None) -> dict[str, Any]:
    """Seconds a step, for both, and their ratio."""
    scheme, by_hand, examples = make(case)
    loader = Loader(examples, batch_size=case.batch_size)
    warm_up = 1 if case.steps_in_block == 1 else 4
    turns = TakingTurns(loader, by_hand, steps_in_block=case.steps_in_block, warm_up=warm_up)
    train(scheme, turns, (blocks + warm_up) * case.steps_in_block, folder)
    pairs = turns.finish()
    return {"pairs": len(pairs), "steps_in_block": case.steps_in_block} | {
        kind: summary(
            [getattr(engine, kind) / case.steps_in_block for engine, _ in pairs],
            [getattr(hand, kind) / case.steps_in_block for _, hand in pairs],
        )
        for kind in ("wall", "cpu")
    }


def summary(engine: Sequence[float], hand: Sequence[float]) -> dict[str, Any]:
    ratios = [ours / theirs for ours, theirs in zip(engine, hand, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {
        "engine_seconds": statistics.median(engine),
        "hand_seconds": statistics.median(hand),
        "ratio_of_medians": statistics.median(engine) / statistics.median(hand),
        "median_of_ratios": middle,
        "quartiles_of_ratios": [low, high],
    }


def machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def show(title: str, bar: float, folder: str, found: dict[str, Any]) -> None:
    for kind in ("wall", "cpu"):
        of = found[kind]
        low, high = of["quartiles_of_ratios"]
        print(
            f"{title if kind == 'wall' else '':66} {folder:10} {kind:4} "
            f"engine {of['engine_seconds'] * 1e3:9.2f} ms  by hand {of['hand_seconds'] * 1e3:9.2f} ms  "
            f"medians {of['ratio_of_medians']:.3f}  "
            f"pairs {of['median_of_ratios']:.3f} [{low:.3f}, {high:.3f}]  bar {bar}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, help="pairs of blocks to measure, for each case")
    parser.add_argument(
        "--quick", action="store_true", help="a few pairs, to see that it works; writes nothing"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), default=sorted(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results: dict[str, Any] = {}
    for name in arguments.cases:
        case = CASES[name]
        blocks = arguments.blocks or (6 if arguments.quick else case.blocks)
        check_same_arithmetic(case)
        results[name] = {"title": case.title, "bar": case.bar}
        with tempfile.TemporaryDirectory() as folder:
            for kind, place in (("no folder", None), ("folder", Path(folder))):
                found = measure(case, blocks=blocks, folder=place)
                results[name][kind.replace(" ", "_")] = found
                show(case.title, case.bar, kind, found)
    if not arguments.quick:
        write(results)


def write(results: dict[str, Any]) -> None:
    """Add the cases to today's file."""
    today = datetime.date.today().isoformat()
    path = RESULTS / f"step_overhead-{today}.json"
    content: dict[str, Any] = {"date": today, "machine": machine(), "cases": {}}
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if earlier["machine"] == content["machine"]:
            content["cases"] = earlier["cases"]
    content["cases"] |= results
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
