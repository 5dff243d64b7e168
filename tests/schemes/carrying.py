"""A recipe's arms, trained as they come, in parts, and on two processes: what each must leave is the same.

`python -m torch.distributed.run … carrying.py RECIPE OUT --set …` is how two processes train.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.engine import Runtime
from tutelage.recipes import build, load
from tutelage.training import Classroom, train_arm, train_teacher


def weights(recipe: str, changes: Sequence[str], folder: Path) -> dict[str, Tensor]:
    """Train every arm of a recipe with the first seed, in this process or this group of them."""
    study = build(load(recipe, changes=list(changes)), "carried")
    runtime = Runtime(cpu=True, quiet=True)
    taught = train_teacher(study, folder, runtime) if study.asks else []
    classroom = Classroom(study, [one.network for one in taught], runtime)
    found = {}
    for name, arm in study.arms.items():
        asked = partial(classroom.teacher, arm) if arm.needs_teacher else None
        done = train_arm(arm, study.problem, runtime, folder / name, seed=0, teacher=asked, label=name)
        assert done.failed is None
        for network, module in done.networks.items():
            found |= {f"{name}/{network}/{key}": value.cpu() for key, value in module.state_dict().items()}
    return found


def together(recipe: str, changes: Sequence[str], folder: Path, *, world: int = 2) -> dict[str, Tensor]:
    """The same on several processes."""
    out = folder / "weights.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(world)]
    command += ["--standalone", __file__, recipe, str(out), json.dumps(list(changes))]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(out)


def same_in_parts_and_together(
    recipe: str, changes: Sequence[str], folder: Path, *, parts: int = 3, close: float = 1e-6
) -> None:
    """k micro-batches leave what one batch leaves, and two processes what one leaves.

    Args:
        recipe: its name or path.
        changes: as for `--set`; keep it to a few steps, since rounding grows.
        folder: an empty one.
        parts: micro-batches.
        close: how near the weights must be, absolute and relative.
    """
    stages = range(len(load(recipe).stages))
    cut = [f"stages.{n}.train.accumulate={parts}" for n in stages if hasattr(load(recipe).stages[n], "train")]
    whole = weights(recipe, changes, folder / "whole")
    for other in (
        weights(recipe, [*changes, *cut], folder / "parts"),
        together(recipe, changes, folder / "together"),
    ):
        assert whole.keys() == other.keys()
        for key, value in whole.items():
            torch.testing.assert_close(
                other[key], value, rtol=close, atol=close, msg=lambda m, k=key: f"{k}: {m}"
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    left = weights(sys.argv[1], json.loads(sys.argv[3]), Path(sys.argv[2]).parent / "run")
    if os.environ.get("RANK", "0") == "0":
        save_file({key: value.contiguous() for key, value in left.items()}, sys.argv[2])
