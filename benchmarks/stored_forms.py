"""What each form of stored answers costs a language model: bytes a token, perplexity, calibration, time.

A teacher of `language/wikitext_tiny` answers the training text once for each form; the same student learns
from each, with the same seeds and steps, at temperature 1 and without labels (`--label-share`). The live
teacher is the first row. `+packed` compresses the files.

    python benchmarks/stored_forms.py train --out runs/forms --train train.txt --test test.txt [--epochs 6]
    python benchmarks/stored_forms.py time --out runs/forms --train train.txt --test test.txt [--steps 16]
    python benchmarks/stored_forms.py table --out runs/forms
    python benchmarks/stored_forms.py answers --out runs/smollm2 --recipe language/smollm2_depth \
        --train train.txt --test test.txt --set task.tokenizer=… --set teacher.model.path=…

`train` can be stopped and called again, and by several processes at a time. `time` trains some steps from
each form in turns, in one process. `answers` makes the answers, and says their size and error, without a
student.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import tempfile
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

from tutelage.answers import Answers
from tutelage.engine import Runtime
from tutelage.labelling import LabelSettings, finish, prepare
from tutelage.recipes import build, load
from tutelage.runs.measuring import measure_network
from tutelage.studies import Study
from tutelage.training import Classroom, train_arm, train_teacher

DENSE = "dense:float16"
FORMS = [
    "live",
    DENSE,
    "dense:int8",
    "topk:12:bare@1+packed",
    "topk:12@1+packed",
    "topk:50:bare@1+packed",
    "topk:50@1+packed",
    "sampled:4@1+packed",
    "sampled:12@1+packed",
    "sampled:40@1+packed",
    "sampled:50@1+packed",
]


def main() -> None:
    """Train or print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["train", "time", "answers", "table"])
    parser.add_argument("--recipe", default="language/wikitext_tiny")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16, help="of a form in a round of `time`")
    parser.add_argument("--rounds", type=int, default=3, help="of `time`")
    parser.add_argument("--label-share", type=float, default=0.0)
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
        f"stages.0.scheme.matches.0.label_share={options.label_share}",
        *options.set,
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    study = build(load(options.recipe, changes=changes), options.recipe, seeds=options.seeds)
    if options.what == "answers":
        for form in options.forms:
            teacher(study, options.out, form)
        table(options.out, options.forms)
        return
    with open(options.out.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        train_teacher(study, options.out, Runtime(quiet=False))
    if options.what == "time":
        changes += ["stages.0.train.epochs=null", f"stages.0.train.steps={options.steps}"]
        short = build(load(options.recipe, changes=changes), options.recipe, seeds=1)
        time_steps(short, options.out, options.forms, options.rounds)
        return
    for seed in study.seeds:
        for form in options.forms:
            learn(study, options.out, form, seed)


def time_steps(study: Study, out: Path, forms: list[str], rounds: int) -> None:
    """Seconds a step from each form, in turns."""
    teachers = {form: teacher(study, out, form) for form in forms}
    held: dict[str, list[float]] = {form: [] for form in forms}
    for number in range(rounds + 1):
        for form, taught_by in teachers.items():
            with tempfile.TemporaryDirectory() as where:
                trained = train_arm(
                    study.arms["student"],
                    study.problem,
                    Runtime(quiet=True),
                    Path(where),
                    seed=0,
                    teacher=lambda _, known=taught_by: known,
                    label=form,
                )
            if number:  # the first round warms up
                held[form].append(trained.seconds / trained.steps)
    (out / "time.json").write_text(json.dumps(held))
    for form, seconds in held.items():
        print(f"{form:24} {1e3 * median(seconds):7.1f} ms a step, {_relative(held, form):.3f} of dense")


def _relative(held: dict[str, list[float]], form: str) -> float:
    """The median ratio to the dense form's step of the same round."""
    whole = next(name for name in held if name.startswith("dense"))
    return median(own / dense for own, dense in zip(held[form], held[whole], strict=True))


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
        return Classroom(study, [one.network for one in taught], runtime).teacher(study.arms["student"], None)
    folder = out / "answers" / form.replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "about.json").exists():
            if (out / "teacher").exists() and not (folder / "teacher").exists():
                (folder / "teacher").symlink_to((out / "teacher").resolve())
            kept, _, packed = form.partition("+")
            settings = LabelSettings(form=kept, compressed=packed == "packed")
            stated = prepare(study, folder, settings, runtime)
            stated.labelling.run(label=f"label {form}")
            finish(stated)
    return Stored(folder)


def table(out: Path, forms: list[str]) -> None:
    """The results as Markdown."""
    columns = ["form", "bytes a token", "error stated, measured", "perplexity", "against dense", "ECE"]
    print(f"| {' | '.join(columns)} | step's time over dense's |")
    print("|---|---|---|---|---|---|---|")
    dense = scores(out, next((form for form in forms if form.startswith("dense")), DENSE))
    timed = json.loads((out / "time.json").read_text()) if (out / "time.json").exists() else {}
    for form in forms:
        took = f"{_relative(timed, form):.2f}" if form in timed else ""
        learnt = _learnt(scores(out, form), dense, took)
        stored = _stored(out / "answers" / form.replace(":", "-"))
        if learnt or stored:
            print(f"| {form} | {stored or ' | '} | {learnt or ' | | | '} |")


def _learnt(held: list[dict[str, float]], dense: list[dict[str, float]], took: str) -> str:
    """What students of one form reached, and what a step took."""
    if not held:
        return ""
    mean = partial(average, held)
    change = f"{100 * (mean('perplexity') / average(dense, 'perplexity') - 1):+.2f} %" if dense else ""
    each = ", ".join(f"{one['perplexity']:.2f}" for one in held)
    return f"{mean('perplexity'):.2f} ({each}) | {change} | {mean('ece'):.4f} | {took}"


def _stored(folder: Path) -> str:
    """Bytes a token, and the error of a step's gradient that was stated and that was measured."""
    if not (folder / "about.json").exists():
        return ""
    answers = Answers(folder)
    said, found = (answers.about[key]["1"] for key in ("stated", "measured"))
    size = answers.manifest.nbytes / answers.manifest.rows
    return f"{size:.1f} | {said['gradient']:.3f}, {found['gradient']:.3f}"


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
