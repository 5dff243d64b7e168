"""Is a store that was killed into being the one that was left alone?

`vision/digits`, a trained convolutional teacher, views drawn at random, two seeds. Its answers are labelled
once undisturbed; then by processes that are killed with SIGKILL at random moments and started again; then by
Ray's workers, of which some are killed. At last a byte of a shard is flipped and the store repaired. Every
shard, every record and the manifest must be the undisturbed ones, byte for byte.

    python benchmarks/label_kills.py --kills 20 --ray-kills 4
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

VIEWS = "stages.0.train.augment={jitter: 1}"
TEACHER = ["teacher.train.epochs=3", "teacher.frozen.remember=false"]
NETWORK = "{thin_convnet: {widths: [32, 32, 64, 64], batch_norm: true}}"


def main() -> None:
    """Label undisturbed, killed, and under Ray; repair; compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--ray-kills", type=int, default=4, help="0 leaves Ray out")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--shard-size", default="20kB")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = trained(folder / "taught")
        label = Label(weights, options.epochs, options.shard_size)
        calm = folder / "calm"
        began = time.time()
        finished(label.start(calm))
        first = min(path.stat().st_mtime for path in records(calm))
        seconds = max(path.stat().st_mtime for path in records(calm)) - first
        found: dict[str, Any] = {
            "shards": len(records(calm)),
            "seconds_until_first_shard": first - began,
            "seconds_labelling": seconds,
            "kills": killed(label, folder / "killed", options.kills, seconds, draw),
        }
        found["after_kills"] = compare(calm, folder / "killed")
        if options.ray_kills:
            found["ray"] = under_ray(label, folder / "ray", options.ray_kills, draw)
            found["after_ray"] = compare(calm, folder / "ray")
        found["repair"] = damaged(label, folder / "killed", draw)
        found["after_repair"] = compare(calm, folder / "killed")
    print(json.dumps(found, indent=2))
    right = all(not held["different"] and held["alike"] for key, held in found.items() if key[:5] == "after")
    sys.exit(not (right and found["repair"]["named"]))


class Label:
    """Calls of `tutelage label` with one set of choices.

    Args:
        weights: of the teacher.
        epochs: views for each of the two seeds.
        shard_size: as the command line takes it.
    """

    def __init__(self, weights: Path, epochs: int, shard_size: str) -> None:
        teacher = f"teacher={{frozen: {{model: {NETWORK}, weights: {weights}}}}}"
        changes = [teacher, VIEWS, f"stages.0.train.epochs={epochs}"]
        self.words = [*given(changes), "--seeds", "2", "--shard-size", shard_size]

    def start(self, out: Path, *more: str) -> subprocess.Popen[str]:
        """One call, on its way."""
        return tutelage(["label", "vision/digits", "--out", str(out), *self.words, *more])


def trained(folder: Path) -> Path:
    """The weights of a teacher, which `label` trains where there is none."""
    finished(tutelage(["label", "vision/digits", "--out", str(folder), *given(TEACHER), "--seeds", "1"]))
    return folder / "teacher" / "student.safetensors"


def given(changes: Sequence[str]) -> list[str]:
    """Changes as options."""
    return [word for change in changes for word in ("--set", change)]


def tutelage(words: Sequence[str]) -> subprocess.Popen[str]:
    """A call of the command line."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tutelage", *words, "--cpu", "--quiet"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )


def finished(process: subprocess.Popen[str]) -> str:
    """Wait, and fail where it failed; what it said on stderr."""
    said = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"{process.args} ended with {process.returncode}: {said}")
    return said


def records(out: Path) -> list[Path]:
    """The records of finished shards."""
    return sorted((out / "shards").glob("[0-9]*.json"))


def killed(label: Label, out: Path, kills: int, seconds: float, draw: random.Random) -> dict[str, Any]:
    """Start, wait for a shard, wait a random while, kill, and again; then let one call finish."""
    hits, moments = 0, []
    for _ in range(kills):
        process = label.start(out)
        if not came(out, len(records(out)), process):
            break
        time.sleep(draw.uniform(0, 1.2 * seconds / kills))
        if process.poll() is None:
            process.kill()
            hits += 1
            moments.append(len(records(out)))
        process.communicate()
    before = len(records(out))
    finished(label.start(out))
    return {"hits": hits, "shards_after_each": moments, "left_for_the_last_call": len(records(out)) - before}


def came(out: Path, before: int, process: subprocess.Popen[str]) -> bool:
    """Wait until one more shard is there; whether it came before the process ended well."""
    while len(records(out)) <= before:
        if process.poll() is not None:
            finished(process)
            return False
        time.sleep(0.005)
    return True


def under_ray(label: Label, out: Path, kills: int, draw: random.Random) -> dict[str, Any]:
    """Label on two workers of Ray, and kill one each time that a shard has come."""
    process = label.start(out, "--engine", "ray", "--workers", "2")
    hits, moments = 0, []
    for _ in range(kills):
        if not came(out, len(records(out)), process):
            break
        time.sleep(draw.uniform(0, 0.3))
        workers = workers_of(process)
        if workers:
            draw.choice(workers).kill()
            hits += 1
            moments.append(len(records(out)))
    finished(process)
    return {"workers_killed": hits, "shards_after_each": moments}


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes in which Ray makes shards."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if any("MapWorker" in word for word in child.cmdline()):
                found.append(child)
        except psutil.Error:  # it has ended
            continue
    return found


def damaged(label: Label, out: Path, draw: random.Random) -> dict[str, Any]:
    """Flip a byte of a shard, and repair."""
    file = draw.choice(records(out)).with_suffix(".safetensors")
    content = bytearray(file.read_bytes())
    at = draw.randrange(len(content))
    content[at] ^= 1 << draw.randrange(8)
    file.write_bytes(content)
    said = finished(label.start(out, "--repair"))
    return {"flipped": f"shards/{file.name}, byte {at}", "named": f"shards/{file.name}" in said}


def compare(calm: Path, other: Path) -> dict[str, Any]:
    """How many files are alike, and which are not; all but what tells how long it took."""
    names = {path.relative_to(root) for root in (calm, other) for path in root.rglob("*") if path.is_file()}
    counted = sorted(name for name in names if name.name != "about.json" and "times" not in name.parts)
    different = [str(name) for name in counted if content(calm / name) != content(other / name)]
    return {"alike": len(counted) - len(different), "different": different}


def content(path: Path) -> bytes | None:
    """A file's bytes, or None where there is no file."""
    return path.read_bytes() if path.exists() else None


if __name__ == "__main__":
    main()
