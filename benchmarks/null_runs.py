"""How often `tl.distill` says "better" where there is nothing to gain: a teacher that only knows the labels.

The student learns by the teacher's first choice (HardTeacher), which is the label, and the control by the
label: the same gradient. The teacher draws a random number at each answer, so that the student's dropout has
draws of its own. So both are alike but for luck, seed by seed, and each word is a false one. All runs have
one test set. What costs time and says nothing here is left out: latencies and the page.

    python benchmarks/null_runs.py --runs 200 --seeds 3 5 10 --out benchmarks/results/null_runs-DATE.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

import tutelage as tl
from tutelage.evaluation import paired_interval
from tutelage.losses import response
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs

CLASSES, WIDTH, TRAIN, TEST = 4, 12, 300, 500


class Labels(Teacher):
    """Sure of the label, after a draw that nobody needs."""

    def forward(self, batch: Batch) -> Outputs:
        """Answer by the labels, or by what the made task is where there are none."""
        torch.rand(1)
        return Outputs(20.0 * nn.functional.one_hot(batch.labels.clamp(min=0), CLASSES).float())


def examples(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows around a centre for each class, which overlap; a tenth of the labels are wrong."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(0))
    rows = 0.7 * centres[labels] + torch.randn(count, WIDTH, generator=draw)
    wrong = torch.rand(count, generator=draw) < 0.1
    return rows, torch.where(wrong, torch.randint(CLASSES, (count,), generator=draw), labels)


def student() -> nn.Module:
    """A small network with dropout."""
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, CLASSES))


def one(number: int, seeds: int, out: Path) -> tuple[str, str]:
    """The word of a run, and that of the rule over seeds alone."""
    first = 1000 * number
    run = tl.distill(
        Labels(),
        student,
        examples(TRAIN, 10_000 + number),
        examples(150, 50_000 + number),
        test=examples(TEST, 1),
        matches=tl.Match(response.HardTeacher()),
        epochs=8,
        batch_size=50,
        optimizer={"adamw": {"lr": 0.01}},
        keep="last",
        validate_every=8,
        seeds=list(range(first, first + seeds)),
        placebo=False,
        out=out,
        quiet=True,
    )
    alone, taught = (run.results[arm]["quality"]["accuracy"]["per_seed"] for arm in ("control", "student"))
    differences = [ours - theirs for ours, theirs in zip(taught, alone, strict=True)]
    low, high = paired_interval(differences, resolution=1 / TEST) or (0.0, 0.0)
    before = "better" if low > 0 else "worse" if high < 0 else "not shown"
    return run.verdict.word, before


def main() -> None:
    """Count the words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = {}
    nothing = patch("tutelage.runs.results._time"), patch("tutelage.report.write")
    with tempfile.TemporaryDirectory() as folder, nothing[0], nothing[1]:
        for seeds in options.seeds:
            words = [one(number, seeds, Path(folder) / f"{seeds}-{number}") for number in range(options.runs)]
            now, before = Counter(word for word, _ in words), Counter(word for _, word in words)
            found[str(seeds)] = {"runs": options.runs, "now": dict(now), "over_seeds_alone": dict(before)}
            print(
                f"{seeds} seeds, {options.runs} runs: now {dict(now)}; over seeds alone {dict(before)}",
                flush=True,
            )
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
