"""Is training from stored answers the training with the teacher, step by step?

`vision/digits`, a convolutional teacher, three epochs, shuffled, with views drawn at random: with the
teacher; from its dense answers; from them on two processes with micro-batches; and so, killed on the way and
resumed on one process; and with the student's weights spread over two processes. The losses of all steps are
compared.

    python benchmarks/stored_equals_live.py
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tutelage.engine import read_history

STUDENT = "seed0/student/stage0/history.jsonl"
COMMON = [
    "teacher.train.epochs=5",
    "teacher.frozen.remember=false",
    "stages.0.train.epochs=3",
    "stages.0.train.log_every=1",
    "stages.0.train.checkpoint_every=0",
    "stages.0.train.augment={jitter: 1}",
    "seeds=1",
    "control=false",
]
MICRO = ["stages.0.train.accumulate=2"]
SHARDED = ["stages.0.train.sharded=true", "stages.0.train.clip=1000.0"]
BAR = 1e-6


def main() -> None:
    """Label, train four times, compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        label = ["label", "vision/digits", "--out", str(folder / "answers"), *given(COMMON), "--quiet"]
        finished(tutelage(label))
        weights = folder / "answers" / "teacher" / "student.safetensors"
        network = "{thin_convnet: {widths: [32, 32, 64, 64], batch_norm: true}}"
        teacher = f"teacher={{frozen: {{model: {network}, weights: {weights}}}}}"
        stored = f"teacher={{stored: {{answers: {folder / 'answers'}}}}}"
        rest = COMMON[2:]
        live = train(folder / "live", [*rest, teacher])
        rows = {
            "stored": difference(live, train(folder / "stored", [*rest, stored])),
            "stored, 2 processes, 2 micro-batches": difference(
                live, train(folder / "two", [*rest, *MICRO, stored], world=2)
            ),
            "the same, killed, resumed on 1 process": difference(
                live, train(folder / "killed", [*rest, *MICRO, stored], world=2, kill=True)
            ),
            "student sharded over 2 processes": difference(
                live, train(folder / "sharded", [*rest, *SHARDED, stored], world=2)
            ),
            "student and live teacher sharded over 2 processes": difference(
                live,
                train(
                    folder / "both",
                    [*rest, *SHARDED, teacher.replace("weights:", "sharded: true, weights:")],
                    world=2,
                ),
            ),
            "the same, killed, resumed on 1 process whole": difference(
                live, train(folder / "shards", [*rest, *SHARDED, stored], world=2, kill=True)
            ),
        }
    print(json.dumps({"steps": len(live), "bar": BAR, "greatest_difference_of_a_loss": rows}, indent=2))
    sys.exit(max(rows.values()) > BAR)


def given(changes: Sequence[str]) -> list[str]:
    """Changes as options."""
    return [word for change in changes for word in ("--set", change)]


def train(out: Path, changes: Sequence[str], *, world: int = 1, kill: bool = False) -> list[float]:
    """The student's loss at each step."""
    run = ["run", "vision/digits", "--out", str(out), *given(changes), "--quiet", "--json"]
    processes = together(run, world)
    if kill:
        assert world > 1
        history = out / STUDENT
        while not history.exists() or len(read_history(history)) < 15:
            time.sleep(0.05)
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        processes = together([*run, "--resume"], 1)
    for process in processes:
        finished(process)
    return [record["loss"] for record in read_history(out / STUDENT) if "loss" in record]


def together(words: Sequence[str], world: int) -> list[subprocess.Popen[bytes]]:
    """One call, on so many processes that meet on the loopback."""
    if world == 1:
        return [tutelage(words)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meet = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free.getsockname()[1]),
            "WORLD_SIZE": str(world),
        }
    return [tutelage(words, meet | {"RANK": str(n), "LOCAL_RANK": str(n)}) for n in range(world)]


def tutelage(words: Sequence[str], more: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A call of the command line."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | (more or {})
    return subprocess.Popen(
        [sys.executable, "-m", "tutelage", *words], stdout=subprocess.DEVNULL, env=environment
    )


def finished(process: subprocess.Popen[bytes]) -> None:
    """Wait, and fail where it failed."""
    if process.wait():
        raise SystemExit(f"{process.args} ended with {process.returncode}")


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    """The greatest difference between the losses of a step, over the loss."""
    assert len(one) == len(other), (len(one), len(other))
    return max(abs(a - b) / max(abs(a), 1e-12) for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
