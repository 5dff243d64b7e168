"""Hold a tuning of 30 trials against a grid of 100 points, on the validation split alone.

The grid and the trials share one teacher, one seed and one short training of a small student on digits:
temperature and weight of the teacher's term, beside the labels. The test split is never read.

    python benchmarks/tune.py --trials 30 --grid 10
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tutelage import tune
from tutelage.engine import Runtime, StopRequest
from tutelage.recipes import load
from tutelage.training import Classroom, train_teacher
from tutelage.tuning.sides import Side
from tutelage.tuning.subjects import RecipeSubject
from tutelage.tuning.training import Bench
from tutelage.tuning.worker import FIRST_SEED

TERMS = "[{loss: response.SoftTarget, temperature: 2, weight: 1.0}, {loss: response.HardLabel, weight: 1.0}]"
CHANGES = [
    f"stages.0.scheme.offline.matches={TERMS}",
    "stages.0.train.epochs=6",
    "teacher.frozen.model={mlp: {widths: [128]}}",
    "teacher.frozen.train={epochs: 10, batch_size: 64}",
]
TERM = "stages.0.scheme.offline.matches.0"
LOW, HIGH = 1.0, 16.0
LEAST, MOST = 0.05, 2.0


def main() -> None:
    """Tune, walk the grid, and print both."""
    options = _options()
    with tempfile.TemporaryDirectory() as held:
        folder = Path(options.out or held)
        clock = time.process_time()
        found = tune(
            options.recipe,
            search={
                f"{TERM}.temperature": (LOW, HIGH, "log"),
                f"{TERM}.weight": (LEAST, MOST, "log"),
                "control.optimizers.student.adamw.lr": (0.001, 0.1, "log"),
            },
            trials=options.trials,
            changes=CHANGES,
            out=folder / "tune",
            device="cpu",
        )
        spent = time.process_time() - clock
        clock = time.process_time()
        points = _grid(options, folder)
        grid = time.process_time() - clock
    student = found.results["sides"]["student"]
    best = max(one["value"] for one in student["trials"] if one["value"] is not None)
    top = max(points, key=lambda point: point["value"])
    error = math.sqrt(top["value"] * (1 - top["value"]) / top["examples"])
    print(
        json.dumps(
            {
                "tuned": {"best": best, "chosen": student["chosen"], "mean_of_further_seeds": found.value},
                "grid": {"best": top, "points": len(points)},
                "standard_error": error,
                "as_good": best >= top["value"] - error,
                "trials": {name: len(side["trials"]) for name, side in found.results["sides"].items()},
                "pruned": sum(one["state"] == "pruned" for one in student["trials"]),
                "cpu_seconds": {"tuning": spent, "grid": grid},
                "tuning": found.results["tuning"],
            },
            indent=2,
        )
    )


def _grid(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Every point of the grid, trained as a trial is."""
    tree = load(options.recipe, changes=CHANGES).model_dump(mode="json", exclude_unset=True)
    subject = RecipeSubject(tree, options.recipe)
    base = subject.study({})
    runtime = Runtime(cpu=True, quiet=True)
    networks = [one.network for one in train_teacher(base, folder / "tune", runtime)]
    bench = Bench(base, Classroom(base, networks, runtime), StopRequest(), cpu=True)
    side = Side("student", base.primary, [])
    points = []
    for temperature in np.geomspace(LOW, HIGH, options.grid):
        for weight in np.geomspace(LEAST, MOST, options.grid):
            values = {f"{TERM}.temperature": float(temperature), f"{TERM}.weight": float(weight)}
            where = folder / "grid" / f"{len(points)}"
            ended = bench.train(side, lambda values=values: subject.study(values), where, seed=FIRST_SEED)
            assert ended.value is not None
            points.append(values | {"value": ended.value, "examples": len(base.problem.validation)})
    return points


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default="vision/digits")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--grid", type=int, default=10, help="points along each of the two axes")
    parser.add_argument("--out", help="a folder that keeps the trials")
    return parser.parse_args()


if __name__ == "__main__":
    main()
