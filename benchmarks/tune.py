"""Tune a recipe's control and student with the same effort, on the validation split alone.

Each arm gets the same number of trials and the same search over its learning rate; the student's temperature
is part of its trials. The test split is never read.

    python benchmarks/tune.py vision/digits --trials 16 --seeds 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from statistics import fmean

import optuna

from tutelage.engine import Runtime
from tutelage.recipes import build, load
from tutelage.studies import Arm, Study
from tutelage.training import Classroom, train_arm, train_teacher


def main() -> None:
    """Tune both arms and print the best trial of each."""
    options = _options()
    recipe = load(options.recipe, changes=options.set)
    study = build(recipe, options.recipe, seeds=options.seeds)
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(quiet=True)
        taught = train_teacher(study, Path(options.teacher or folder), runtime)
        networks = [one.network for one in taught]
        found = {}
        for name in ("control", "student"):
            search = optuna.create_study(direction="maximize", sampler=optuna.samplers.QMCSampler(seed=0))
            search.optimize(
                lambda trial, name=name: _score(trial, name, options, study, runtime, networks),
                n_trials=options.trials,
            )
            found[name] = {"value": search.best_value, **search.best_params, "trials": options.trials}
            found[name]["all"] = sorted(((t.value, t.params) for t in search.trials), key=lambda t: -t[0])[:5]
    print(json.dumps(found, indent=2))


def _score(trial, name: str, options, study: Study, runtime: Runtime, networks) -> float:
    low, high = options.lr
    lr = trial.suggest_float("lr", low, high, log=True)
    changes = list(options.set)
    stage = len(load(options.recipe).stages) - 1
    optimizer = next(iter(load(options.recipe).stages[stage].optimizers.values())).name
    own = load(options.recipe).control
    if name == "control" and own and own.optimizers:
        optimizer = own.optimizers["student"].name
        changes.append(f"control.optimizers.student.{optimizer}.lr={lr}")
    else:
        changes.append(f"stages.{stage}.optimizers.student.{optimizer}.lr={lr}")
    if name == "student" and options.temperatures:
        temperature = trial.suggest_categorical("temperature", options.temperatures)
        changes.append(f"stages.{stage}.scheme.matches.0.temperature={temperature}")
    tried = build(load(options.recipe, changes=changes), options.recipe, seeds=options.seeds)
    arm: Arm = tried.arms[name]

    classroom = Classroom(study, networks, runtime)
    with tempfile.TemporaryDirectory() as folder:
        values = [
            train_arm(
                arm,
                tried.problem,
                runtime,
                Path(folder) / str(seed),
                seed=1000 + seed,
                teacher=partial(classroom.teacher, arm) if arm.needs_teacher else None,
                label=name,
            ).validation
            for seed in range(options.seeds)
        ]
    return fmean(value for value in values if value is not None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, nargs=2, default=(1e-3, 1e-1))
    parser.add_argument("--temperatures", type=float, nargs="*", default=[2.0, 4.0, 8.0])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--teacher", help="a folder that keeps the trained teacher between calls")
    return parser.parse_args()


if __name__ == "__main__":
    main()
