"""What the fault tests share: a recipe of a second, commands in this process, and counts that are printed."""

from __future__ import annotations

import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.evaluation import latency

TINY = """
task: {tabular.classification: {data: sklearn.iris}}
teacher:
  frozen:
    model: {mlp: {widths: [8]}}
    train: {epochs: 3, batch_size: 32, checkpoint_every: 0}
    optimizers: {student: {adamw: {lr: 0.01}}}
student: {model: {mlp: {widths: [4]}}}
stages:
  - scheme: {offline: {matches: [{loss: response.SoftTarget, temperature: 2}, {loss: response.HardLabel}]}}
    optimizers: {student: {adamw: {lr: 0.01}}}
    train: {epochs: 3, batch_size: 32, checkpoint_every: 0}
placebo: false
seeds: 1
"""

LONGEST = 10.0  # seconds of an input that is refused


@dataclass
class Answer:
    """What a command came to.

    Args:
        code: its exit status.
        out, err: what it printed.
        fault: a traceback where something else than an error of ours came; empty where not.
        seconds: of the processor, that it took.
    """

    code: int
    out: str
    err: str
    fault: str
    seconds: float

    @property
    def said(self) -> str:
        """The error in words, or the fault."""
        return self.fault or (self.err.strip().splitlines() or [""])[-1]


class TooLong(BaseException):
    """A command went on past its limit."""


def _ring(*_: Any) -> None:
    raise TooLong


def ask(*words: Any, limit: float = 600.0) -> Answer:
    """A command in this process, stopped after `limit` seconds."""
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, limit)
    clock, fault = time.process_time(), ""  # a busy machine makes nothing late
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = CliRunner().invoke(app, [str(word) for word in words])
        code, out, err = found.exit_code, found.stdout, found.stderr
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            fault = "".join(traceback.format_exception(found.exception))
    except TooLong:
        code, out, err, fault = -1, "", "", f"went on for {limit:g} seconds"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return Answer(code, out, err, fault, time.process_time() - clock)


@pytest.fixture(scope="session")
def asked() -> Callable[..., Answer]:
    return ask


@pytest.fixture(scope="session")
def how_many() -> Callable[[str, int], int]:
    """How many faults of a kind; `make fault-tests` says it."""
    return lambda kind, usual: int(os.environ.get(f"FAULT_{kind}", usual))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that runs in about a second."""
    latency.BUDGET = 0.02
    file = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="session")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run and finished answers, packed and not; copied before anything is done to them."""
    folder = tmp_path_factory.mktemp("made")
    for words in (
        ["run", tiny, "--cpu", "--quiet", "--out", folder / "run"],
        ["label", tiny, "--cpu", "--quiet", "--out", folder / "plain"],
        ["label", tiny, "--cpu", "--quiet", "--compress", "--out", folder / "packed"],
    ):
        done = ask(*words)
        assert (done.code, done.fault) == (0, ""), done
    return folder
