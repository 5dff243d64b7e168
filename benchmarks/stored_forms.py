"""What each form of stored answers costs a language model: bytes a token, perplexity, calibration, time.

A teacher of `language/wikitext_tiny` answers the training text once for each form; the same student learns
from each, with the same seeds and steps, at temperature 1. The live teacher is the first row.

    python benchmarks/stored_forms.py train --out runs/forms --data data/text [--epochs 6] [--seeds 3]
    python benchmarks/stored_forms.py table --out runs/forms

`train` can be stopped and called again, and by several processes at a time. `data` is a folder with two text
files, `train.txt` and `test.txt`, or a name for each: --train a.txt --test b.txt.
"""

from __future__ import annotations

import argparse
import fcntl
import json
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from tutelage.answers import Answers
from tutelage.engine import Runtime
from tutelage.recipes import build, load
from tutelage.runs import Study
from tutelage.runs.label import LabelSettings, finish, prepare
from tutelage.runs.measuring import measure_network
from tutelage.runs.run import Classroom, train_teacher
from tutelage.runs.training import train_arm

RECIPE = "language/wikitext_tiny"
FORMS = [
    "live",
    "dense:float32",
    "dense:bfloat16",
    "dense:int8",
    "topk:12:bare@1",
    "topk:12@1",
    "topk:50:bare@1",
    "topk:50@1",
    "sampled:4@1",
    "sampled:12@1",
    "sampled:50@1",
]


def main() -> None:
    """Train or print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["train", "table"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--forms", nargs="+", default=FORMS)
    options = parser.parse_args()
    if options.what == "table":
        table(options.out, options.forms)
        return
    changes = [
        f"task.data={{train: {options.train.resolve()}, test: {options.test.resolve()}}}",
        "control=false",
        f"stages.0.train.epochs={options.epochs}",
        "stages.0.train.keep=last",
        *options.set,
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    study = build(load(RECIPE, changes=changes), RECIPE, seeds=options.seeds)
    with open(options.out.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        train_teacher(study, options.out, Runtime(quiet=False))
    for seed in study.seeds:
        for form in options.forms:
            learn(study, options.out, form, seed)


def learn(study: Study, out: Path, form: str, seed: int) -> None:
    """One student of one form and seed, unless it is done or in hand."""
    where = out / form.replace(":", "-") / f"seed{seed}"
    where.mkdir(parents=True, exist_ok=True)
    if (where / "measured.json").exists():
        return
    with open(where / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        taught_by = teacher(study, out, form)
        arm, runtime = study.arms["student"], Runtime()
        trained = train_arm(
            arm, study.problem, runtime, where, seed=seed, teacher=lambda _: taught_by, label=f"{form} {seed}"
        )
        found = measure_network(trained.network, study.problem, runtime.device)
        held = {
            "nll": found.quality["nll"],
            "perplexity": found.quality["perplexity"],
            "accuracy": found.quality["accuracy"],
            "ece": found.calibration["ece"],
            "seconds_a_step": trained.seconds / trained.steps,
        }
        (where / "measured.json").write_text(json.dumps(held))


def teacher(study: Study, out: Path, form: str) -> Any:
    """The live teacher, or its answers in a form, which are made if they are not there."""
    from tutelage.teachers import Stored

    runtime = Runtime()
    if form == "live":
        taught = train_teacher(study, out, runtime)
        return Classroom(study.teacher, [one.network for one in taught], runtime).teacher(
            study.arms["student"], None
        )
    folder = out / "answers" / form.replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "about.json").exists():
            if not (folder / "teacher").exists():
                (folder / "teacher").symlink_to((out / "teacher").resolve())
            stated = prepare(study, folder, LabelSettings(form=form), runtime)
            stated.labelling.run(label=f"label {form}")
            finish(stated)
    return Stored(folder)


def table(out: Path, forms: list[str]) -> None:
    """The results as Markdown."""
    print("| form | bytes a token | error stated, measured | perplexity | against dense | ECE | ms a step |")
    print("|---|---|---|---|---|---|---|")
    dense = scores(out, "dense:float32")
    for form in forms:
        held = scores(out, form)
        if not held:
            continue
        mean = partial(average, held)
        change = 100 * (mean("perplexity") / average(dense, "perplexity") - 1) if dense else 0.0
        size, errors = "", ""
        if form != "live":
            answers = Answers(out / "answers" / form.replace(":", "-"))
            size = f"{answers.manifest.nbytes / answers.manifest.rows:.1f}"
            said, found = (answers.about[key]["1"] for key in ("stated", "measured"))
            errors = f"{said['gradient']:.3f}, {found['gradient']:.3f}"
        each = ", ".join(f"{one['perplexity']:.2f}" for one in held)
        print(
            f"| {form} | {size} | {errors} | {mean('perplexity'):.2f} ({each}) | {change:+.2f} % | "
            f"{mean('ece'):.4f} | {1e3 * mean('seconds_a_step'):.0f} |"
        )


def scores(out: Path, form: str) -> list[dict[str, float]]:
    """What was measured of a form, seed by seed."""
    return [
        json.loads(file.read_text())
        for file in sorted((out / form.replace(":", "-")).glob("seed*/measured.json"))
    ]


def average(held: list[dict[str, float]], name: str) -> float:
    """The mean over seeds."""
    return fmean(one[name] for one in held)


if __name__ == "__main__":
    main()
