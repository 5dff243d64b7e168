"""Does a run that is killed again and again end like one that was left alone?

A run of `vision/digits` is started, killed with SIGKILL at a random moment, resumed, killed … at last left
to finish. Every file of weights must equal, bit for bit, that of a run that nobody disturbed.

    python benchmarks/kill_and_resume.py --kills 10
    python benchmarks/kill_and_resume.py --each-stage --recipe vision/mnist_to_device --set seeds=1

With `--each-stage` it is killed once in each stage of each arm, changes between trainings included.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHORT = ("seeds=2", "teacher.train.epochs=8", "stages.0.train.epochs=30")


def main() -> None:
    """Compare an undisturbed run with one that is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--recipe", default="vision/digits")
    parser.add_argument("--set", action="append", default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each-stage", action="store_true")
    options = parser.parse_args()
    changes = options.set if options.set is not None else list(SHORT)
    if not options.each_stage:
        changes += ["teacher.train.checkpoint_every=0.2", "stages.0.train.checkpoint_every=0.2"]
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, killed = Path(folder) / "calm", Path(folder) / "killed"
        began = time.monotonic()
        _start(options.recipe, calm, changes).wait()
        seconds = time.monotonic() - began
        if options.each_stage:
            moments = _in_each_stage(options.recipe, calm, killed, changes, draw)
        else:
            moments = _at_random(options, killed, changes, draw, seconds)
        last = _start(options.recipe, killed, changes, resume=True)
        assert last.wait() == 0, "the last resumption failed"
        alike, different = _compare(calm, killed)
    print(json.dumps({"kills": moments, "files_alike": alike, "files_different": different}, indent=2))
    sys.exit(bool(different) or not alike)


def _at_random(
    options: argparse.Namespace, killed: Path, changes: list[str], draw: random.Random, seconds: float
) -> list[float]:
    """Kill at random moments; how many seconds after the start each."""
    moments: list[float] = []
    for number in range(options.kills):
        process = _start(options.recipe, killed, changes, resume=number > 0)
        moments.append(draw.uniform(0.1, 0.9) * seconds / 3 + 3)
        try:
            process.wait(moments[-1])
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    return moments


def _in_each_stage(
    recipe: str, calm: Path, killed: Path, changes: list[str], draw: random.Random
) -> list[str]:
    """Kill once in each stage of each arm of the first seed, some moments after it has begun; which ones."""
    moments: list[str] = []
    for arm in sorted(path.name for path in (calm / "seed0").iterdir()):
        stages = sorted((calm / "seed0" / arm).glob("stage*"), key=lambda path: int(path.name[5:]))
        for number, stage in enumerate(stages):
            before = killed / "seed0" / arm / stages[number - 1].name if number else None
            process = _start(recipe, killed, changes, resume=killed.exists())
            while process.poll() is None and not (_is_done(before) if before else _has_begun(killed, arm)):
                time.sleep(0.002)
            is_change = not (stage / "history.jsonl").exists()
            time.sleep(draw.uniform(0.0, 0.1 if is_change else 1.0))
            died = process.poll() is None
            process.kill()
            process.wait()
            state = "finished before" if (killed / "seed0" / arm / "trained.json").exists() else "in it"
            moments.append(f"{arm}/{stage.name}: {state if died else 'had ended'}")
    return moments


def _is_done(stage: Path) -> bool:
    return any(stage.glob("*.safetensors")) and any(
        path.name != "best.safetensors" for path in stage.glob("*.safetensors")
    )


def _has_begun(killed: Path, arm: str) -> bool:
    return (killed / "seed0" / arm).exists()


def _start(recipe: str, out: Path, changes: list[str], *, resume: bool = False) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tutelage", "run", recipe, "--out", str(out), "--quiet", "--json"]
    command += [part for change in changes for part in ("--set", change)]
    if resume and out.exists():
        command.append("--resume")
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _compare(calm: Path, killed: Path) -> tuple[int, list[str]]:
    names = sorted(path.relative_to(calm) for path in calm.rglob("*.safetensors"))
    different = [str(name) for name in names if _hash(calm / name) != _hash(killed / name)]
    return len(names) - len(different), different


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "absent"


if __name__ == "__main__":
    main()
