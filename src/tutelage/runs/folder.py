"""The folder of a run: whose it is, and what lies where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.engine.checkpoint import write_atomically
from tutelage.errors import CheckpointError, OutputError

__all__ = ["RunFolder", "free_folder", "read_json"]

_MARK = "run.json"


def free_folder(name: str, *, under: Path = Path("runs")) -> Path:
    """The first folder of this name, or name-2, name-3 …, that is not there yet."""
    plain = under / name.replace("/", "-")
    number, path = 1, plain
    while path.exists():
        number += 1
        path = plain.with_name(f"{plain.name}-{number}")
    return path


class RunFolder:
    """The folder of one run.

    Args:
        path: where it is.
        identity: what the run is: the resolved recipe and the seeds.
        resume: go on with a run that is there already.

    Raises:
        OutputError: the folder holds another run, or this one without `resume`; or cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        mark = path / _MARK
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; choose a folder for the run (out, --out)")
        if mark.exists():
            self._take_up(mark, json.loads(json.dumps(identity)), resume)
        elif path.exists() and any(path.iterdir()):
            raise OutputError(f"{path} holds other files and no run; choose an empty folder (out, --out)")
        else:
            write_json(mark, identity)

    def _take_up(self, mark: Path, identity: Any, resume: bool) -> None:
        held = read_json(mark)
        if held != identity:
            differ = [key for key in sorted({*held, *identity}) if held.get(key) != identity.get(key)]
            raise OutputError(
                f"{self.path} holds another run (it differs in {', '.join(differ)}); choose another folder "
                "(out, --out), or delete that one"
            )
        if not resume:
            raise OutputError(
                f"{self.path} holds this run already; go on with it (resume=True, --resume), or choose "
                "another folder (out, --out)"
            )

    def arm(self, name: str, seed: int | None = None) -> Path:
        """Where an arm's files lie."""
        return self.path / name if seed is None else self.path / f"seed{seed}" / name

    def write(self, name: str, content: str) -> Path:
        """Write a text file of the run."""
        path = self.path / name
        write_atomically(path, content.encode())
        return path

    def drop_checkpoints(self) -> None:
        """Remove what only a resumption needs."""
        for path in self.path.rglob("checkpoint.safetensors"):
            path.unlink()

    def free_bytes(self) -> int:
        """Room left on the disk."""
        return shutil.disk_usage(self.path).free


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one step."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON back.

    Raises:
        CheckpointError: the file is cut short or foreign.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is truncated or not ours ({error}); delete it and resume") from error
