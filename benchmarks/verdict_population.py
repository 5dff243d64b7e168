"""How often a verdict says "better" where the population knows no difference, and where there is one.

A made task without end of test data: small networks on classes of normal clusters, 10 settings, 160 pairs of
student and control each. The two of a pair start alike and are equal by construction, in one of two ways.
*Exchangeable*: they differ by their own order, label noise or half of the data. *Mirrored*: the student
weighs one half of the classes more and the control the other half, on a task that is its own mirror image
(one input changes its sign, the halves of the classes change places), so that the student is better on some
examples and worse on others, for every seed alike. In each study and seed a coin decides whether the pair
changes roles and sees the mirror image of the examples: over the pool of 120,000 test examples and these
coins the difference is then exactly zero, without anything left by chance.

A study draws seeds, coins and N test examples from the pool. It is judged by the rule over seeds and examples
and by the paired t over seeds alone with its floor of one example. For the power, wrong answers of the
student become right in just 1 or 2 % of the pool, for each seed: those that score highest by √½·(of the
example) + √½·(of the seed on the example), both standard normal, so that half of what decides is common to
all seeds.

    OMP_NUM_THREADS=1 python benchmarks/verdict_population.py [--studies 2000] [--seeds 160] [--pool 120000]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.evaluation import judge, paired_interval, two_way

EXAMPLES = (50, 200, 500, 1_000, 10_000)
SEEDS = (3, 5, 10)
GAINS = (0.01, 0.02)
BARS = {"mean": 0.03, "worst_cell": 0.045}
LEVEL = 0.95
INPUTS = 12


@dataclass(frozen=True)
class Setting:
    """One task and pair of arms.

    Args:
        classes, apart, label_noise, examples: the task: how many classes, how far apart their clusters lie,
            the share of random labels, training examples.
        width, steps: of the networks and their training.
        own: what each arm has to itself: "order", "labels" (noise of its own), "half" (of the examples), or
            nothing.
        tilt: by how much the student weighs one half of the classes more, and the control the other.
    """

    name: str
    classes: int = 10
    apart: float = 1.2
    label_noise: float = 0.1
    examples: int = 1000
    width: int = 16
    steps: int = 200
    own: str = "order"
    tilt: float = 0.0


SETTINGS = (
    Setting("own order"),
    Setting("own order, long", steps=600),
    Setting("narrow, easy", width=4, classes=4, apart=1.6),
    Setting("wide, few examples", width=48, examples=200, steps=300),
    Setting("own label noise", own="labels", label_noise=0.4),
    Setting("own half of the data", own="half", examples=600, width=32),
    Setting("mirrored, slight", own="", tilt=0.1, steps=400),
    Setting("mirrored", own="", tilt=0.2, classes=4, width=24),
    Setting("mirrored, own order", tilt=0.3, classes=20, apart=1.6, width=32, steps=300),
    Setting("mirrored, strong", own="", tilt=0.5, classes=2, width=8, examples=4000),
)


def main() -> None:
    """Train, draw, count, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000, help="of each cell")
    parser.add_argument("--seeds", type=int, default=160, help="pairs trained in each setting")
    parser.add_argument(
        "--pool", type=int, default=120_000, help="test examples that stand for the population"
    )
    parser.add_argument("--quick", action="store_true", help="a look at everything; nothing is written")
    options = parser.parse_args()
    if options.quick:
        options.studies, options.seeds, options.pool = 100, 40, 20_000
    rows, start = [], time.perf_counter()
    for number, setting in enumerate(SETTINGS):
        right = trained(setting, number, options)
        about = describe(right)
        rows.append({"setting": asdict(setting), **about, "cells": list(cells(right, number, options))})
        show(rows[-1], time.perf_counter() - start)
    summary = summarised(rows)
    show_summary(rows, summary)
    if not options.quick:
        write(rows, summary, options)


def trained(setting: Setting, number: int, options: argparse.Namespace) -> np.ndarray:
    """Which answers are right: [2 arms, seeds, pool], twins of the pool beside one another."""
    chance = torch.Generator().manual_seed(number)
    centres = setting.apart * torch.randn(setting.classes // 2, 2, INPUTS, generator=chance)
    inputs, labels = twins(setting, centres, setting.examples // 2, chance)
    weights = fitted(setting, inputs, labels, options.seeds, chance)
    tests, truth = twins(setting, centres, options.pool // 2, chance)
    right = torch.empty(2 * options.seeds, options.pool, dtype=torch.bool)
    with torch.no_grad():
        for first in range(0, options.pool, 1000):
            part = slice(first, first + 1000)
            right[:, part] = answers(weights, tests[part]).argmax(-1) == truth[part]
    return right.view(options.seeds, 2, options.pool).transpose(0, 1).contiguous().numpy()


def twins(setting: Setting, centres: Tensor, pairs: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Examples and, after each, its mirror image: the first input negated, the class of the other half."""
    half = setting.classes // 2
    labels = torch.randint(setting.classes, (pairs,), generator=chance)
    cluster = torch.randint(2, (pairs,), generator=chance)
    inputs = mirror(centres[labels % half, cluster], labels >= half)
    inputs = inputs + torch.randn(pairs, INPUTS, generator=chance)
    both = torch.stack([inputs, mirror(inputs, torch.ones(pairs, dtype=torch.bool))], 1).flatten(0, 1)
    return both, torch.stack([labels, (labels + half) % setting.classes], 1).flatten()


def mirror(inputs: Tensor, where: Tensor) -> Tensor:
    """The first input negated, in some rows."""
    return torch.cat([torch.where(where, -inputs[:, 0], inputs[:, 0]).unsqueeze(-1), inputs[:, 1:]], -1)


def fitted(
    setting: Setting, inputs: Tensor, labels: Tensor, seeds: int, chance: torch.Generator
) -> list[Tensor]:
    """Weights of 2 · seeds networks, each pair from one initialisation, trained side by side by Adam."""
    networks, count = 2 * seeds, len(inputs)
    weights = initial(setting, seeds, chance)
    mover = torch.optim.Adam(weights, lr=0.01)
    noisy = noise(setting, labels, networks, chance)
    allowed = torch.stack([torch.randperm(count, generator=chance) for _ in range(networks)])
    allowed = allowed[:, : count // 2] if setting.own == "half" else torch.arange(count).expand(networks, -1)
    first_half = torch.arange(setting.classes) < setting.classes // 2
    student = 1 + setting.tilt * (2.0 * first_half - 1)
    tilts = torch.stack([2 - student, student]).repeat(seeds, 1)  # of control and student, for each class
    for _ in range(setting.steps):
        alike = torch.randint(allowed.shape[1], (seeds, 1, 32), generator=chance).expand(-1, 2, -1)
        own = torch.randint(allowed.shape[1], (seeds, 2, 32), generator=chance)
        places = allowed.gather(1, (own if setting.own else alike).reshape(networks, 32))
        wanted = noisy.gather(1, places)
        logits = answers(weights, inputs[places])
        losses = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted)
        mover.zero_grad()
        (losses * tilts.gather(1, wanted)).mean(1).sum().backward()
        mover.step()
    return [each.detach() for each in weights]


def initial(setting: Setting, seeds: int, chance: torch.Generator) -> list[Tensor]:
    """Normal weights, scaled by the inputs of each layer, the same for both networks of a pair."""
    shapes = [
        (INPUTS, setting.width),
        (1, setting.width),
        (setting.width, setting.classes),
        (1, setting.classes),
    ]
    scales = [INPUTS**-0.5, 0.0, setting.width**-0.5, 0.0]
    return [
        (scale * torch.randn(seeds, *shape, generator=chance)).repeat_interleave(2, 0).requires_grad_()
        for shape, scale in zip(shapes, scales, strict=True)
    ]


def answers(weights: list[Tensor], inputs: Tensor) -> Tensor:
    """Logits [networks, examples, classes] of one hidden layer."""
    first, bias, second, last = weights
    return torch.baddbmm(last, torch.baddbmm(bias, inputs.expand(len(first), -1, -1), first).relu(), second)


def noise(setting: Setting, labels: Tensor, networks: int, chance: torch.Generator) -> Tensor:
    """The labels that each network learns from, a share of them random: twins by twins, or each arm's own."""
    rows = networks if setting.own == "labels" else 1
    pairs = len(labels) // 2
    drawn = torch.randint(setting.classes, (rows, pairs), generator=chance)
    twin = (drawn + setting.classes // 2) % setting.classes
    random = torch.stack([drawn, twin], -1).flatten(1)
    hit = (torch.rand(rows, pairs, generator=chance) < setting.label_noise).repeat_interleave(2, 1)
    return torch.where(hit, random, labels).expand(networks, -1)


def improved(right: np.ndarray, gain: float, number: int) -> np.ndarray:
    """The same answers with a share of the pool turned from wrong to right, for each arm and seed."""
    chance = np.random.default_rng([number, 1])
    _, seeds, pool = right.shape
    common = chance.standard_normal(pool, dtype=np.float32)
    better = right.copy()
    for seed in range(seeds):
        score = common + chance.standard_normal(pool, dtype=np.float32)
        for arm in range(2):
            wrong = np.flatnonzero(~right[arm, seed])
            count = round(gain * pool)
            assert len(wrong) > count, "a network with fewer errors than the gain"
            better[arm, seed, wrong[np.argpartition(-score[wrong], count)[:count]]] = True
    return better


def describe(right: np.ndarray) -> dict[str, float]:
    """Accuracy, how often the arms disagree, and the spread of their difference over seeds and examples."""
    sample = right[:, :, :20_000].astype(np.float32)
    luck = two_way(torch.from_numpy(sample[1] - sample[0]))
    return {
        "accuracy": float(right.mean()),
        "disagreement": float((right[0] != right[1]).mean()),
        "sd_of_seeds": math.sqrt(luck.seed_variance),
        "sd_of_examples": math.sqrt(luck.example_variance),
        "sd_of_both": math.sqrt(luck.interaction),
    }


def cells(right: np.ndarray, number: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """For each number of seeds and examples: how many studies say "better", by rule and true gain."""
    held = {0.0: right} | {gain: improved(right, gain, number) for gain in GAINS}
    for count in EXAMPLES:
        for seeds in SEEDS:
            chance = np.random.default_rng([number, count, seeds])
            said = {gain: {"new": 0, "old": 0} for gain in held}
            for study in range(options.studies):
                drawn = draw(chance, right.shape[1], right.shape[2], seeds, count)
                for gain, better in held.items():
                    if gain and study >= options.studies // 2:
                        continue  # the power needs fewer
                    new, old = words(*study_of(right, better, drawn), check=study == 0)
                    said[gain]["new"] += new
                    said[gain]["old"] += old
            yield cell(count, seeds, said, options.studies)


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]


def draw(chance: np.random.Generator, pairs: int, pool: int, seeds: int, count: int) -> Drawn:
    """Seeds, coins, and places of test examples in the pool, which stands for the population."""
    chosen = chance.choice(pairs, seeds, replace=False)
    return chosen, chance.integers(2, size=seeds), chance.integers(pool, size=count)


def study_of(right: np.ndarray, better: np.ndarray, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Control and student [seeds, examples]; where the coin fell, in changed roles on mirrored examples."""
    control, student = [], []
    for (
        seed,
        coin,
    ) in zip(drawn[0], drawn[1], strict=True):
        places = drawn[2] ^ coin  # the twin of an example lies beside it
        control.append(right[coin, seed].take(places))
        student.append(better[1 - coin, seed].take(places))
    return np.stack(control), np.stack(student)


def words(control: np.ndarray, student: np.ndarray, *, check: bool) -> tuple[bool, bool]:
    """Whether it is "better" by the rule over seeds and examples, and by the one over seeds alone."""
    differences = student.astype(np.int8) - control.astype(np.int8)
    agree = bool((differences == differences[0]).all())
    new = not agree and two_way(torch.from_numpy(differences)).interval(LEVEL)[0] > 0
    gains = [float(each.mean()) for each in differences]
    interval = paired_interval(gains, level=LEVEL, resolution=1 / differences.shape[1])
    assert interval is not None
    if check:
        pair = torch.from_numpy(control).double(), torch.from_numpy(student).double()
        means = [each.mean(1).tolist() for each in pair]
        verdict = judge("accuracy", *means, examples=pair, level=LEVEL)
        assert (verdict.word == "better") == new
    return new, interval[0] > 0


def cell(count: int, seeds: int, said: dict[float, dict[str, int]], studies: int) -> dict[str, Any]:
    """Counts of one cell, as shares."""
    found: dict[str, Any] = {"examples": count, "seeds": seeds, "studies": studies}
    for rule in ("new", "old"):
        found[f"false_better_{rule}"] = said[0.0][rule] / studies
        for gain in GAINS:
            found[f"power_{100 * gain:.0f}_{rule}"] = said[gain][rule] / (studies // 2)
    return found


def summarised(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means, worst settings and worst cells of both rules, with their Monte-Carlo errors."""
    found: dict[str, Any] = {"bars": BARS}
    for rule in ("new", "old"):
        key = f"false_better_{rule}"
        every = [(one[key], row["setting"]["name"], one) for row in rows for one in row["cells"]]
        by_setting = [(mean(row["cells"], key), row["setting"]["name"]) for row in rows]
        worst, name, one = max(every, key=lambda each: each[0])
        most, of = max(by_setting)
        studies = one["studies"]
        found[rule] = {
            "mean": mean([each[2] for each in every], key),
            "mean_error": error(mean([each[2] for each in every], key), studies * len(every)),
            "worst_setting": {
                "name": of,
                "share": most,
                "error": error(most, studies * len(rows[0]["cells"])),
            },
            "worst_cell": {
                "name": name,
                "examples": one["examples"],
                "seeds": one["seeds"],
                "share": worst,
                "error": error(worst, studies),
            },
            "cells_above_bar": sum(share > BARS["worst_cell"] for share, _, _ in every),
        }
    return found


def mean(found: list[dict[str, Any]], key: str) -> float:
    """Of one entry over cells."""
    return sum(one[key] for one in found) / len(found)


def error(share: float, studies: int) -> float:
    """Standard error of a share over so many studies."""
    return math.sqrt(share * (1 - share) / studies)


def show(row: dict[str, Any], seconds: float) -> None:
    """A line for a setting."""
    parts = "/".join(f"{row[f'sd_of_{part}']:.3f}" for part in ("seeds", "examples", "both"))
    told = f"accuracy {row['accuracy']:.3f}  apart {row['disagreement']:.3f}  sd {parts}  false better"
    for rule in ("new", "old"):
        key = f"false_better_{rule}"
        worst = max(one[key] for one in row["cells"])
        told += f"  {rule} {100 * mean(row['cells'], key):.2f} % (worst {100 * worst:.2f})"
    print(f"{row['setting']['name']:22} {told}  {seconds:.0f} s", flush=True)


def show_summary(rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """By seeds and examples, over all settings; then whether the bars are kept."""
    print(f"\n{'':22}{'false better':>16}{'gain of 1':>16}{'gain of 2':>16}   (%, new rule and old)")
    for place, one in enumerate(rows[0]["cells"]):
        same = [row["cells"][place] for row in rows]
        columns = [
            f"{100 * mean(same, f'{key}_new'):8.1f}{100 * mean(same, f'{key}_old'):8.1f}"
            for key in ("false_better", "power_1", "power_2")
        ]
        print(f"{one['seeds']:3} seeds, {one['examples']:6,} ex.  {''.join(columns)}")
    for rule in ("new", "old"):
        print(f"{rule}: {json.dumps(summary[rule])}")
    ours = summary["new"]
    kept = ours["mean"] <= BARS["mean"] and ours["worst_cell"]["share"] <= BARS["worst_cell"]
    print(f"bars {BARS}: {'kept' if kept else 'NOT KEPT'}")


def write(rows: list[dict[str, Any]], summary: dict[str, Any], options: argparse.Namespace) -> None:
    """The dated results."""
    path = Path(__file__).parent / "results" / f"verdict_population-{date.today()}.json"
    held = {
        "options": {key: getattr(options, key) for key in ("studies", "seeds", "pool")},
        "summary": summary,
    }
    path.write_text(json.dumps(held | {"rows": rows}, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
