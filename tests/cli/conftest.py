from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tutelage.cli import app

SHORT = ["--set", "teacher.train.epochs=1", "--set", "stages.0.train.epochs=1", "--seeds", "2", "--cpu"]
"""What makes `vision/digits` a matter of seconds."""


class Answer:
    """What a command said."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def ask(*words: Any) -> Answer:
    """Run a command in this process; what is no error of ours is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def cli() -> Callable[..., Answer]:
    return ask


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A finished run of `vision/digits`, and what it printed with --json."""
    folder = tmp_path_factory.mktemp("done") / "digits"
    return folder, ask("run", "vision/digits", *SHORT, "--out", folder, "--json")


@pytest.fixture
def run_dir(done: tuple[Path, Answer], tmp_path: Path) -> Path:
    """A copy of the finished run, to do with as one likes."""
    return Path(shutil.copytree(done[0], tmp_path / "digits"))
