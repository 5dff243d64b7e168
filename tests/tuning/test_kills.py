"""Processes that tune together, killed again and again: no trial is lost, none is there twice."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest

TRIALS, KILLS, TOGETHER = 12, 10, 2
WORKER = """
import sys
sys.path.insert(0, {here!r})
from conftest import SEARCH, call
import tutelage as tl
print("begun", file=sys.stderr, flush=True)
tl.tune(**call() | {{"epochs": 150, "checkpoint_every": 0.2}}, search=SEARCH, trials={trials}, finalists=2,
        seeds=1, out={out!r}, resume=True, device="cpu", pruner="none")
"""


def start(out: Path, log: Path) -> subprocess.Popen[bytes]:
    code = WORKER.format(here=str(Path(__file__).parent), trials=TRIALS, out=str(out))
    with open(log, "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-c", code], stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )


def wait_for(log: Path, count: int) -> None:
    """Until so many processes that write there have begun."""
    while not log.exists() or log.read_text().count("begun") < count:
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_trial_is_lost_or_done_twice_where_workers_are_killed(tmp_path: Path):
    out, dice, lives, killed = tmp_path / "tuned", random.Random(0), Counter(), 0
    logs = [tmp_path / f"worker{number}.log" for number in range(TOGETHER)]
    workers = [start(out, log) for log in logs]
    lives.update(range(TOGETHER))
    try:
        while killed < KILLS:
            number = killed % TOGETHER
            wait_for(logs[number], lives[number])
            time.sleep(dice.uniform(0.5, 5.0))
            assert workers[number].poll() is None, "the tuning ended before it was killed often enough"
            workers[number].kill()
            workers[number].wait()
            killed += 1
            workers[number] = start(out, logs[number])
            lives[number] += 1
        assert [worker.wait() for worker in workers] == [0] * TOGETHER
    finally:
        for worker in workers:
            worker.kill()

    told = json.loads((out / "trials.json").read_text())
    for side in told["sides"].values():
        assert [trial["number"] for trial in side["trials"]] == list(range(TRIALS))
        assert {trial["state"] for trial in side["trials"]} == {"complete"}
    ends = Counter()
    for line in (out / "journal.log").read_text().splitlines():
        record = json.loads(line)
        if record.get("state") in (int(optuna.trial.TrialState.COMPLETE), int(optuna.trial.TrialState.FAIL)):
            ends[record["trial_id"]] += 1
    assert len(ends) == 2 * TRIALS
    assert set(ends.values()) == {1}
    said = re.findall(r"^(student|control), trial (\d+) of", "".join(log.read_text() for log in logs), re.M)
    assert max(Counter(said).values()) == 1
