"""Made-up runs, as rich as a run can be: what the tests read and what a person may look at.

`python tests/report/sample.py FOLDER` writes each of `RUNS` as a page.
"""

from __future__ import annotations

import copy
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEEDS = [0, 1, 2]
LETTERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def _over_seeds(mean: float, apart: float) -> dict[str, Any]:
    return {"mean": mean, "per_seed": [mean - apart, mean + apart / 2, mean + apart / 2]}


def _time(median: float, *, stable: bool) -> dict[str, Any]:
    return {"p50": median, "p95": 1.3 * median, "p99": 1.5 * median, "stable": stable, "threads": 2}


def _arm(
    accuracy: float, *, parameters: int, latency: float, seconds: float, ece: float, stable: bool = True
) -> dict[str, Any]:
    return {
        "quality": {
            "accuracy": _over_seeds(accuracy, 0.0006),
            "errors": _over_seeds(10_000 * (1 - accuracy), 6),
            "balanced_accuracy": _over_seeds(accuracy - 0.0004, 0.0006),
            "recall_3": _over_seeds(accuracy - 0.004, 0.002),
        },
        "calibration": {
            "ece": _over_seeds(ece, 0.0008),
            "nll": _over_seeds(3.1 * (1 - accuracy), 0.002),
            "brier": _over_seeds(1.5 * (1 - accuracy), 0.0009),
        },
        "cost": {
            "parameters": parameters,
            "bytes": 4 * parameters,
            "flops": 2 * parameters,
            "latency_ms": {
                "1": _time(latency, stable=stable),
                "32": _time(2.1 * latency, stable=stable),
            },
            "peak_memory_bytes": 190_000_000 + 14 * parameters,
            "energy_joules": None,
            "train_seconds": seconds,
        },
    }


def _curve(top: float, seed: int, *, soft: bool) -> dict[str, Any]:
    noise, points = random.Random(f"{top}{seed}"), []
    for epoch in range(1, 41):
        reached = top - 0.12 * math.exp(-epoch / 2.5) - 0.006 * math.exp(-epoch / 15)
        hard = 0.04 + 0.9 * math.exp(-epoch / 4) + noise.uniform(0, 0.01)
        terms = {"labels": hard, "soft_target": 1.4 * hard + 0.2} if soft else {"labels": hard}
        point = {"step": 469 * epoch, "epoch": epoch, "loss": sum(terms.values()), "terms": terms}
        points.append(point | {"validation": {"accuracy": reached + noise.uniform(-0.0012, 0.0012)}})
    return {"seed": seed, "points": points}


def _bins(gap: float) -> list[dict[str, float]]:
    bins = []
    for index in range(10):
        middle = index / 10 + 0.05
        right = max(0.0, middle - gap * 4 * middle * (1 - middle))
        count = 2 ** (index + 3) if index > 1 else 0
        bin_ = {"low": index / 10, "high": (index + 1) / 10, "count": count}
        bins.append(bin_ | {"confidence": middle, "accuracy": right})
    return bins


def _confusion(classes: int) -> list[list[int]]:
    chance = random.Random(7)
    table = [[chance.choice([0, 0, 0, 0, 1, 2, 3]) for _ in range(classes)] for _ in range(classes)]
    for index in range(classes):
        table[index][index] = 980 + chance.randrange(60)
    table[4][9], table[7][2] = 14, 9
    return table


def _small(accuracy: float, ece: float = 0.0067, seconds: float = 131.0) -> dict[str, Any]:
    return _arm(accuracy, parameters=826_010, latency=0.31, seconds=seconds, ece=ece)


def _teacher() -> dict[str, Any]:
    return _arm(0.9926, parameters=23_952_100, latency=1.84, seconds=412.0, ece=0.0041) | {"conflict": {}}


def _outcome(entry: dict[str, Any], arm: str, against: str | None, **more: Any) -> dict[str, Any]:
    told = {"arm": arm, "network": arm, "stage": 0, "view": None, "against": against, "steps": 18_760}
    return entry | told | {"failed_seeds": []} | more


def verdict(word: str, of: str = "student", against: str = "control") -> dict[str, Any]:
    difference = {"better": 0.0042, "worse": -0.0031, "not shown": 0.0008}[word]
    sure = "3 paired seeds and 10,000 test examples (31 % of it the luck of seeds, 69 % that of the test set)"
    than = "the same student trained alone" if against == "control" else against
    why = {
        "better": f"0.4 points more accurate than {than}, 95 % interval 0.2 to 0.6 over {sure}; better than "
        "a placebo too, so the credit is the teacher's",
        "worse": f"0.3 points less accurate than {than}, 95 % interval 0.1 to 0.5 over {sure}",
        "not shown": f"0.1 points more accurate than {than}, but the 95 % interval −0.1 to 0.3 over {sure} "
        "holds zero; 0.3 points is the smallest effect that this run could have shown",
    }
    advice = ["Lower the temperature: the teacher is already unsure.", "Give the soft loss less weight."]
    return {
        "word": word,
        "of": of,
        "against": against,
        "metric": "accuracy",
        "difference": difference,
        "interval": [difference - 0.0019, difference + 0.0021],
        "level": 0.95,
        "seeds": len(SEEDS),
        "examples": 10_000,
        "share_of_seeds": 0.31,
        "share_of_test_set": 0.69,
        "smallest_effect": 0.0029,
        "p_value": {"better": 0.0008, "worse": 0.012, "not shown": 0.41}[word],
        "credit": "the teacher" if word == "better" else None,
        "why": why[word],
        "uncontrolled": [
            "compute: the student's steps also ask the teacher; steps are equal, seconds are not"
        ],
        "advice": advice if word == "worse" else [],
    }


def _run(
    outcomes: dict[str, Any], verdicts: list[dict[str, Any]], *, teacher: dict[str, Any] | None
) -> dict[str, Any]:
    """Results of format 2; the first verdict is that of the primary outcome."""
    first = verdicts[0]
    return {
        "format": 2,
        "recipe": "vision/mnist_hinton",
        "out": "runs/mnist_hinton",
        "seeds": SEEDS,
        "looks": 1,
        "primary": first["of"],
        "teacher": teacher,
        "outcomes": outcomes,
        "verdict": first,
        "verdicts": verdicts,
        "student": outcomes[first["of"]],
        "control": outcomes.get(first["against"]),
        "fidelity": {},
        "gap_closed": None,
        "sanity": [],
        "warnings": [],
        "expected": None,
        "differences": [],
    }


_FIDELITY = {
    "agreement": _over_seeds(0.9932, 0.0004),
    "kl": _over_seeds(0.0124, 0.0006),
    "agreement_on_teacher_errors": _over_seeds(0.412, 0.03),
}


def results(word: str = "better") -> dict[str, Any]:
    """The usual run with everything in it: a teacher, a control, a placebo, a student."""
    quantised = _arm(0.9899, parameters=206_502, latency=0.22, seconds=0.4, ece=0.0079)
    outcomes = {
        "control": _outcome(_small(0.9921 if word == "worse" else 0.9863, 0.0112, 96.0), "control", None),
        "placebo": _outcome(_small(0.9866, 0.0104), "placebo", "control"),
        "student": _outcome(_small(0.9905), "student", "control"),
        "student, 8 bit": _outcome(quantised, "student", "control", stage=1),
    }
    said = [verdict(word), verdict("better", against="placebo")]
    said.append(verdict("not shown", of="student, 8 bit"))
    return copy.deepcopy(_run(outcomes, said, teacher=_teacher())) | {
        "fidelity": dict(_FIDELITY),
        "gap_closed": 0.667,
        "warnings": ["Latency was measured while the machine was busy (load 3.1 on 2 cores)."],
        "expected": {"errors": {"paper": 74, "source": "Hinton et al. 2015, section 3", "ours": 88.3}},
    }


def peers() -> dict[str, Any]:
    """Two peers that taught one another, each against itself alone; nobody else was asked."""
    outcomes = {}
    for name, alone, together in (("peer0", 0.9863, 0.9905), ("peer1", 0.9871, 0.9879)):
        outcomes[f"{name} alone"] = _outcome(_small(alone, 0.0112), f"{name} alone", None)
        outcomes[name] = _outcome(_small(together), "peers", f"{name} alone", network=name)
    said = [verdict("better", "peer0", "peer0 alone"), verdict("not shown", "peer1", "peer1 alone")]
    why = said[0]["why"].partition(";")[0]
    said[0] |= {"credit": "the recipe", "why": f"{why}; not shown to be better than a placebo"}
    return _run(outcomes, said, teacher=None) | {"recipe": "vision/digits_mutual"}


def alone() -> dict[str, Any]:
    """One network by itself: no teacher, nothing that it is held against."""
    said = verdict("not shown") | dict.fromkeys(
        [
            "against",
            "difference",
            "interval",
            "smallest_effect",
            "share_of_seeds",
            "share_of_test_set",
            "p_value",
        ]
    )
    said["uncontrolled"] = ["everything: there is no control"]
    said["why"] = "No control was trained, so nothing shows whether anything helped."
    return _run({"student": _outcome(_small(0.9905), "student", None)}, [said], teacher=None)


def exits() -> dict[str, Any]:
    """A network with four exits, each against the same exit of a control; latencies that jump about."""
    outcomes, said = {}, []
    for place in (4, 3, 2, 1):
        size, name = {"parameters": 206_500 * place, "ece": 0.01 / place, "seconds": 131.0}, f"exit{place}"
        high = 0.97 + 0.005 * place
        timed = {"latency": 0.09 * place, "stable": place != 4}
        outcomes[f"{name} alone"] = _outcome(_arm(high - 0.004, **size, **timed), "control", None, view=name)
        outcomes[name] = _outcome(_arm(high, **size, **timed), "student", f"{name} alone", view=name)
        said.append(verdict("better" if place > 1 else "worse", name, f"{name} alone"))
    return _run(outcomes, said, teacher=_teacher()) | {"recipe": "vision/exits", "fidelity": dict(_FIDELITY)}


def failed() -> dict[str, Any]:
    """Two of five seeds failed, the control is no better than chance, the teacher no better than it."""
    found = results("not shown") | {"seeds": [0, 1, 2, 3, 4]}
    found["outcomes"]["student"]["failed_seeds"] = [1, 4]
    found["verdict"]["seeds"] = 5
    found["sanity"] = [
        "The student trained alone is no better than chance (accuracy 0.1135, chance 0.1135): it is too "
        "weak a control to compare with.",
        "Two of the student's five seeds diverged.",
    ]
    return found


def old(word: str = "better") -> dict[str, Any]:
    """The usual run as results of format 1 told it, which said nothing of its format."""
    new = results(word)
    entries = {name: dict(new["outcomes"][name]) for name in ("control", "student", "student, 8 bit")}
    told = ("difference", "interval", "level", "why", "uncontrolled", "advice", "word", "metric")
    verdicts = [{key: each[key] for key in told} for each in (new["verdict"], new["verdicts"][-1])]
    for entry in (new["teacher"], *entries.values()):
        for key in ("arm", "network", "stage", "view", "against", "failed_seeds"):
            entry.pop(key, None)
        times = entry["cost"]["latency_ms"]
        entry["cost"]["latency_ms"] = {n: {p: times[n][p] for p in ("p50", "p95")} for n in times}
    kept = ("recipe", "out", "seeds", "teacher", "fidelity", "gap_closed", "warnings", "expected")
    return {key: new[key] for key in kept} | {
        "control": entries["control"],
        "student": entries["student"],
        "also": {"student, 8 bit": entries["student, 8 bit"] | {"verdict": verdicts[1]}},
        "verdict": verdicts[0],
    }


def details(classes: int = 10) -> dict[str, Any]:
    """What only the page shows."""
    names = LETTERS if classes == 10 else [f"class {index}" for index in range(classes)]
    return {
        "curves": {
            "student": [_curve(0.991, seed, soft=True) for seed in SEEDS],
            "control": [_curve(0.987, seed, soft=False) for seed in SEEDS],
        },
        "calibration_curves": {"teacher": _bins(0.05), "control": _bins(0.28), "student": _bins(0.12)},
        "fidelity_bins": [
            {
                "low": low,
                "high": low + 0.1,
                "count": 3 ** (place + 2),
                "agreement": 0.4 + 0.14 * place,
                "kl": 0.2,
            }
            for place, low in enumerate([0.5, 0.6, 0.7, 0.8, 0.9])
        ],
        "confusion": _confusion(classes),
        "class_names": names,
        "recipe_yaml": "task:\n  vision.classification:\n    data: ylecun/mnist\nstudent:\n  model:\n"
        "    mlp: {widths: [800, 800]}\nseeds: [0, 1, 2]\n",
        "environment": {
            "versions": {"tutelage": "0.1.0", "torch": "2.9.1", "python": "3.11.9"},
            "machine": {"cpu": "2 cores", "memory_bytes": 8_000_000_000, "gpu": None},
            "data": {
                "train": {"examples": 60_000, "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c"}
            },
            "seeds": SEEDS,
        },
    }


def details_of(found: dict[str, Any]) -> dict[str, Any]:
    """The details of a run of any of `RUNS`, for the arms and outcomes that it names."""
    told, accuracies = details(), {"teacher": 0.05}
    arms = {}
    for place, (name, entry) in enumerate(found.get("outcomes", {}).items()):
        arms.setdefault(entry.get("arm", name), entry["quality"]["accuracy"]["mean"])
        accuracies[name] = 0.1 + 0.03 * (place % 5)
    if arms:
        told["curves"] = {
            arm: [_curve(top, seed, soft=arm not in ("control", "placebo")) for seed in found["seeds"]]
            for arm, top in arms.items()
        }
        told["calibration_curves"] = {name: _bins(gap) for name, gap in accuracies.items()}
    if not found["teacher"]:
        told |= {"fidelity_bins": [], "confusion": None}
    return told


def minimal() -> dict[str, Any]:
    """One seed, no control, nothing known but the student's accuracy."""
    student = {"quality": {"accuracy": {"mean": 0.9, "per_seed": [0.9]}}, "calibration": None, "cost": None}
    said = {"word": "not shown", "of": "student", "metric": "accuracy", "why": "No control was run."}
    found = dict.fromkeys(
        ["teacher", "control", "gap_closed", "expected", "fidelity", "verdicts", "warnings"]
    )
    told = {"recipe": "r", "out": "o", "seeds": [0], "primary": "student", "verdict": said}
    return found | told | {"format": 2, "outcomes": {"student": student}, "student": student}


RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "usual": results,
    "worse": lambda: results("worse"),
    "not-shown": lambda: results("not shown"),
    "peers": peers,
    "alone": alone,
    "exits": exits,
    "failed": failed,
    "old": old,
    "minimal": minimal,
}

if __name__ == "__main__":
    from tutelage.report import write

    for name, made in RUNS.items():
        found = made()
        write(found, details_of(found), Path(sys.argv[1]) / f"{name}.html")
