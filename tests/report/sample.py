"""A made-up run, as rich as a run can be: what the tests read and what a person may look at.

`python tests/report/sample.py FILE [better|worse|"not shown"]` writes it as a page.
"""

from __future__ import annotations

import copy
import math
import random
import sys
from typing import Any

SEEDS = [0, 1, 2]
LETTERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def _over_seeds(mean: float, apart: float) -> dict[str, Any]:
    return {"mean": mean, "per_seed": [mean - apart, mean + apart / 2, mean + apart / 2]}


def _arm(accuracy: float, *, parameters: int, latency: float, seconds: float, ece: float) -> dict[str, Any]:
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
                "1": {"p50": latency, "p95": latency * 1.3},
                "32": {"p50": latency * 2.1, "p95": latency * 2.6},
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


def verdict(word: str) -> dict[str, Any]:
    difference = {"better": 0.0042, "worse": -0.0031, "not shown": 0.0008}[word]
    why = {
        "better": "The interval of the difference lies above zero.",
        "worse": "The interval of the difference lies below zero: distillation did harm here.",
        "not shown": "The interval of the difference holds zero; three seeds cannot tell them apart.",
    }
    advice = ["Lower the temperature: the teacher is already unsure.", "Give the soft loss less weight."]
    return {
        "word": word,
        "metric": "accuracy",
        "difference": difference,
        "interval": [difference - 0.0019, difference + 0.0021],
        "level": 0.95,
        "why": why[word],
        "uncontrolled": ["The control trained for as many steps, but without the teacher's forward passes."],
        "advice": advice if word == "worse" else [],
    }


def results(word: str = "better") -> dict[str, Any]:
    """What `tutelage run --json` would print for a run with everything in it."""
    control = 0.9863 if word != "worse" else 0.9921
    return {
        "recipe": "vision/mnist_hinton",
        "out": "runs/mnist_hinton",
        "seeds": SEEDS,
        "teacher": _arm(0.9926, parameters=23_952_100, latency=1.84, seconds=412.0, ece=0.0041),
        "control": _arm(control, parameters=826_010, latency=0.31, seconds=96.0, ece=0.0112),
        "student": _arm(0.9905, parameters=826_010, latency=0.31, seconds=131.0, ece=0.0067),
        "also": {
            "student, 8 bit": _arm(0.9899, parameters=206_502, latency=0.22, seconds=0.4, ece=0.0079)
            | {"verdict": verdict("not shown")}
        },
        "fidelity": {
            "agreement": _over_seeds(0.9932, 0.0004),
            "kl": _over_seeds(0.0124, 0.0006),
            "agreement_on_teacher_errors": _over_seeds(0.412, 0.03),
        },
        "verdict": verdict(word),
        "gap_closed": 0.667,
        "warnings": ["Latency was measured while the machine was busy (load 3.1 on 2 cores)."],
        "expected": {"errors": {"paper": 74, "source": "Hinton et al. 2015, section 3", "ours": 88.3}},
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


def minimal() -> dict[str, Any]:
    """One seed, no control, nothing known but the student's accuracy."""
    student = {"quality": {"accuracy": {"mean": 0.9, "per_seed": [0.9]}}, "calibration": None, "cost": None}
    said = copy.deepcopy(verdict("not shown")) | {
        "difference": None,
        "interval": None,
        "why": "No control was run.",
    }
    names = ["teacher", "control", "gap_closed", "expected"]
    return dict.fromkeys(names) | {
        "recipe": "r",
        "out": "o",
        "seeds": [0],
        "student": student,
        "verdict": said,
    }


if __name__ == "__main__":
    from tutelage.report import write

    write(results(*sys.argv[2:3]), details(), sys.argv[1])
