"""What the fault tests share: a recipe of a second, commands in this process, and counts that are printed."""

from __future__ import annotations

import os
import shutil
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
from tutelage.engine import Runtime
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

NETWORK = """{transformers_causal: {config: {model_type: llama, hidden_size: 16, num_hidden_layers: 1,
    num_attention_heads: 2, num_key_value_heads: 2, intermediate_size: 24}}}"""
WORDS = f"""
task:
  language.modelling:
    data: {{train: words.txt, validation: words.txt, test: words.txt}}
    documents: paragraphs
    tokenizer: {{bpe: 280}}
    length: 8
teacher:
  frozen:
    model: {NETWORK}
    train: {{steps: 4, batch_size: 4}}
    optimizers: {{student: {{adamw: {{lr: 0.01}}}}}}
student: {{model: {NETWORK}}}
stages: [{{scheme: alone, optimizers: {{student: sgd}}, train: {{epochs: 1}}}}]
"""
ANIMALS = ("owl", "cat", "dog", "fox")

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
    words = file.with_name("words.txt")
    words.write_text("\n\n".join(f"the {one} saw a {other}" for one in ANIMALS for other in ANIMALS))
    file.with_name("words.yaml").write_text(WORDS.replace("words.txt", str(words)))
    return file


@pytest.fixture(scope="session")
def writing(tiny: Path) -> list[Any]:
    """A command that has a small language model write sixteen texts; `--out` is missing."""
    how = ["--shard-texts", "1", "--tokens", "8", "--prompt-tokens", "3", "--batch-size", "2"]
    return ["write", tiny.with_name("words.yaml"), "--cpu", "--quiet", *how, "--temperature", "1"]


@pytest.fixture(scope="session")
def made(tiny: Path, writing: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, a stopped one, a tuning, written text, and finished answers, packed and not.

    They are copied before anything is done to them.
    """
    folder = tmp_path_factory.mktemp("made")
    tune = ["tune", tiny, "--cpu", "--quiet", "--trials", "2", "--finalists", "1", "--seeds", "1"]
    for words in (
        ["run", tiny, "--cpu", "--quiet", "--out", folder / "run"],
        ["label", tiny, "--cpu", "--quiet", "--out", folder / "plain"],
        ["label", tiny, "--cpu", "--quiet", "--compress", "--out", folder / "packed"],
        [*tune, "--out", folder / "tuned"],
        [*writing, "--out", folder / "text"],
    ):
        done = ask(*words)
        assert (done.code, done.fault) == (0, ""), done
    shutil.copytree(folder / "run", folder / "other")
    looks = iter(range(1000))
    with pytest.MonkeyPatch.context() as patch:  # after the teacher's twelve steps and six of an arm
        patch.setattr(Runtime, "stop_asked", property(lambda _: next(looks) >= 18))
        assert ask("run", tiny, "--cpu", "--quiet", "--out", folder / "stopped").code
    assert [*folder.glob("stopped/**/checkpoint.safetensors")]
    return folder
