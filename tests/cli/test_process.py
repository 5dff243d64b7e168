"""What only a process of its own can show: signals, pipes, a full device."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import typer
from safetensors.torch import load_file
from typer.core import TyperGroup

from tutelage.cli import app
from tutelage.errors import DataError, Interrupted

CHANGES = (
    "teacher.model={mlp: {widths: [8]}}",
    "teacher.train.epochs=1",
    "stages.0.train.epochs=25",
    "stages.0.train.keep=last",
    "stages.0.train.validate_every=20",
)
LONG = [*(word for change in CHANGES for word in ("--set", change)), "--seeds", "1", "--cpu"]
"""Some hundred steps: long enough to be stopped in."""


def start(words: list[str], cwd: Path, *, start_new_session: bool = False) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "tutelage", *words],
        cwd=cwd,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=start_new_session,
    )


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_the_line_to_go_on_with(tmp_path: Path):
    child = start(["run", "vision/digits", *LONG, "--out", "stopped run"], tmp_path)
    wait_for(tmp_path / "stopped run" / "seed0" / "control" / "stage0" / "history.jsonl", child)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=120)
    assert (child.returncode, stdout) == (130, ""), stderr
    assert "stopped on request at step" in stderr
    assert "Traceback" not in stderr
    assert list(tmp_path.rglob("checkpoint.safetensors"))

    line = next(line for line in stderr.splitlines() if line.startswith("go on with: "))
    words = shlex.split(line.removeprefix("go on with: "))
    assert words[:3] == ["tutelage", "run", "vision/digits"]
    assert words[-3:] == ["--out", "stopped run", "--resume"]
    again = start([*words[1:], "--json"], tmp_path)
    stdout, stderr = again.communicate(timeout=240)
    assert again.returncode == 0, stderr
    found = json.loads(stdout)
    assert found["student"]["steps"] == found["control"]["steps"] == 25 * 16


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_to_the_whole_group_leaves_a_checkpoint_whoever_loads(number, workers, tmp_path: Path):
    """What `timeout`, Slurm and Kubernetes send; workers get it too."""
    words = ["run", "vision/digits", *LONG, "--set", f"stages.0.train.workers={workers}"]
    child = start([*words, "--out", "stopped"], tmp_path, start_new_session=True)
    wait_for(tmp_path / "stopped" / "seed0" / "control" / "stage0" / "history.jsonl", child)
    os.killpg(child.pid, number)
    stdout, stderr = child.communicate(timeout=120)
    assert (child.returncode, stdout) == (130, ""), stderr
    assert "stopped on request at step" in stderr
    assert "Traceback" not in stderr
    for out, more in (("stopped", ["--resume"]), ("calm", [])):
        again = start([*words, "--out", out, *more], tmp_path)
        _, stderr = again.communicate(timeout=240)
        assert again.returncode == 0, stderr
    one, other = (load_file(tmp_path / out / "student.safetensors") for out in ("stopped", "calm"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("rank", "said"), [("0", ["error: stopped", "error: broken"]), ("1", ["error: broken"])]
)
def test_of_several_processes_the_first_speaks_of_a_stop_and_all_of_errors(monkeypatch, capsys, rank, said):
    group = typer.main.get_command(app)
    monkeypatch.setenv("RANK", rank)
    codes = []
    for error in (Interrupted("stopped"), DataError("broken")):
        monkeypatch.setattr(TyperGroup, "invoke", Mock(side_effect=error))
        with pytest.raises(typer.Exit) as left:
            group.invoke(None)
        codes.append(left.value.exit_code)
    assert codes == [130, 1]
    assert capsys.readouterr().err.splitlines() == said


@pytest.mark.slow
def test_a_bug_keeps_its_traceback(tmp_path: Path):
    (tmp_path / "broken.py").write_text("recipe = 1 / 0\n")
    child = start(["run", "broken.py"], tmp_path)
    _, stderr = child.communicate(timeout=120)
    assert child.returncode == 1
    assert stderr.startswith("Traceback")
    assert "ZeroDivisionError" in stderr.splitlines()[-1]


@pytest.mark.parametrize("words", [["list"], ["list", "--json"]])
@pytest.mark.slow
def test_a_reader_that_left_is_no_noise(tmp_path: Path, words: list[str]):
    child = start(words, tmp_path)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    stderr = child.stderr.read()
    child.wait(timeout=120)
    child.stderr.close()
    assert stderr == ""
    assert child.returncode in (0, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [["list"], ["list", "--json"]])
@pytest.mark.slow
def test_a_full_device_is_an_error_and_no_traceback(words: list[str]):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tutelage", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == f"error: cannot write to stdout: {os.strerror(28)}\n"
