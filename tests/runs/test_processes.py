"""`tl.distill` under torchrun: it ends well on every process and gives each its `Run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import tutelage as tl


def distil(out: Path) -> None:
    """What each process does."""
    torch.manual_seed(0)
    inputs, labels = torch.randn(60, 4), torch.arange(60) % 3
    run = tl.distill(
        nn.Linear(4, 3),
        lambda: nn.Linear(4, 3),
        (inputs, labels),
        (inputs, labels),
        epochs=1,
        seeds=1,
        batch_size=30,
        placebo=False,
        out=out / "run",
        quiet=True,
    )
    said = {
        "word": run.verdict.word,
        "speaks": run.speaks,
        "weights": [value.tolist() for value in run.student.state_dict().values()],
    }
    (out / f"rank{os.environ['RANK']}.json").write_text(json.dumps(said))


@pytest.mark.slow
def test_every_process_gets_its_run(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, __file__, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert (first.pop("speaks"), second.pop("speaks")) == (True, False)
    assert first == second
    assert (tmp_path / "run" / "report.html").is_file()


if __name__ == "__main__":
    distil(Path(sys.argv[1]))
