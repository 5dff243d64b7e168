"""The folder of a run: whose it is, and what lies where."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import CheckpointError, OutputError
from tutelage.files import read_json, write_atomically, write_json
from tutelage.locks import LOCK
from tutelage.studies.differences import differences
from tutelage.trust import refuse_links

__all__ = ["RunFolder", "check_sum", "free_folder", "read_run", "unfinished_folder"]

_MARK = "run.json"

_SUMS = "SHA256SUMS"
"""The checksums of what a finished run hands over, as `sha256sum --check` reads them."""

_UNSUMMED = ("report.html", "export", _MARK, _SUMS, LOCK)
"""What is written again later, or has a checksum of its own."""

_SPLITS = ("train", "validation", "test")
_FEW, _READABLE = 4, 160  # differences that are said, and characters of one
_LOST = (
    "restore it from a copy; without it the run cannot be gone on with, and its students can still be read "
    "(student.safetensors): run it anew in another folder (out, --out)"
)

FORMAT = 2
"""The format of a run's folder."""


def free_folder(name: str, *, under: Path = Path("runs")) -> Path:
    """The first folder of this name, or name-2, name-3 …, that is not there yet."""
    plain = under / name.replace("/", "-")
    number, path = 1, plain
    while path.exists():
        number += 1
        path = plain.with_name(f"{plain.name}-{number}")
    return path


def read_run(folder: Path, name: str) -> Any:
    """A JSON file of a run.

    Raises:
        OutputError: it is not there.
        CheckpointError: it is cut short or foreign.
    """
    if not folder.is_dir():
        raise OutputError(
            f"there is no folder {folder}; give the folder of a run, such as runs/vision-digits"
        )
    if not (folder / _MARK).is_file():
        raise OutputError(f"{folder} holds no run; give the folder that `tutelage run` wrote to")
    refuse_links(folder)
    if not (folder / name).is_file():
        again = (
            f"the same call of distill with out={str(folder)!r} and resume=True"
            if _of_a_call(folder)
            else f"tutelage run … --out {folder} --resume"
        )
        raise OutputError(f"{folder} has no {name}, so its run is not finished; go on with {again}")
    check_sum(folder, name)
    held = read_json(folder / name, advice=_LOST if name == _MARK else _again(folder))
    if not isinstance(held, dict):
        raise CheckpointError(f"{folder / name} holds a {type(held).__name__}, and a mapping was expected")
    return held


def check_sum(folder: Path, name: str) -> None:
    """Hold a file of a finished run against the checksum that was written with it.

    Args:
        folder: of the run.
        name: of the file in it; one that has no checksum is not looked at.

    Raises:
        CheckpointError: it is another one.
    """
    try:
        lines = (folder / _SUMS).read_text("utf-8", "replace").splitlines()
        held = (folder / name).read_bytes()
    except OSError:
        return
    noted = {line[66:]: line[:64] for line in lines}
    if name in noted and hashlib.sha256(held).hexdigest() != noted[name]:
        raise CheckpointError(
            f"{folder / name} is not as it was written: it has another checksum than in {_SUMS}. "
            f"{_again(folder).capitalize()}. If you changed it yourself, delete {folder / _SUMS}"
        )


def _again(folder: Path) -> str:
    return f"restore it from a copy, or have it written again: tutelage run … --out {folder} --resume"


def unfinished_folder(name: str, *, under: Path = Path("runs")) -> Path:
    """The newest run of this name that was begun and not finished.

    Raises:
        OutputError: there is none.
    """
    plain = name.replace("/", "-")
    begun = [mark.parent for mark in under.glob(f"{plain}*/{_MARK}") if _is_numbered(mark.parent.name, plain)]
    open_ = [folder for folder in begun if not (folder / "results.json").is_file()]
    if not open_:
        raise OutputError(
            f"resume=True came without out, and no run called {plain} under {under} was begun and not "
            "finished; say which run by out=…, or leave resume out"
        )
    return max(open_, key=lambda folder: (folder / _MARK).stat().st_mtime)


def _is_numbered(name: str, plain: str) -> bool:
    """Whether a folder is `plain`, `plain-2`, `plain-3` …"""
    return name == plain or name.removeprefix(f"{plain}-").isdecimal()


def _of_a_call(folder: Path) -> bool:
    """Whether a run was asked for by a call of Python."""
    recipe = read_json(folder / _MARK).get("recipe")
    return isinstance(recipe, dict) and "call" in recipe


def _shortened(differ: list[str]) -> list[str]:
    """The first few, as long as they can be read."""
    brief = [one if len(one) < _READABLE else f"{one.partition(' (')[0]} (…)" for one in differ[:_FEW]]
    return brief + (["…"] if len(differ) > _FEW else [])


class RunFolder:
    """The folder of one run.

    Args:
        path: where it is.
        identity: what the run is: its name, the resolved recipe, and the seeds.
        resume: go on with a run that is there already; with more seeds than it had, those are added.

    Raises:
        OutputError: the folder holds another run, or this one without `resume`; or cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
        self.path, self.seeds = path, list(identity["seeds"])
        mark = path / _MARK
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; choose a folder for the run (out, --out)")
        if path.exists():
            refuse_links(path)
        if mark.exists():
            self._take_up(mark, json.loads(json.dumps(identity)), resume)
        elif path.exists() and any(one.name != LOCK for one in path.iterdir()):
            raise OutputError(f"{path} holds other files and no run; choose an empty folder (out, --out)")
        else:
            write_json(mark, dict(identity) | {"format": FORMAT, "looks": []})

    def _take_up(self, mark: Path, identity: Any, resume: bool) -> None:
        held = read_json(mark, advice=_LOST)
        if not isinstance(held, dict):
            raise OutputError(f"{mark} is not ours; {_LOST}")
        if held.get("format") != FORMAT:
            raise OutputError(
                f"{self.path} holds a run of an earlier version, which can be read (tutelage report, "
                "evaluate, export) and not gone on with; choose another folder (out, --out), and run it anew"
            )
        differ = ["name"] if held.get("name") != identity.get("name") else []
        differ += _shortened(list(differences(held.get("recipe"), identity.get("recipe"), "recipe")))
        parts, now = held.get("made_of", {}), identity.get("made_of", {})
        changed = [key for key in sorted({*parts, *now}) if parts.get(key) != now.get(key)]
        differ += [f"the {key} data" if key in _SPLITS else f"the {key}" for key in changed]
        more = self.seeds[: len(held["seeds"])] == held["seeds"]
        if differ or not more:
            seeds = f"its seeds, {held['seeds']}, to which more may be added"
            raise OutputError(
                f"{self.path} holds another run (it differs in {', '.join(differ) or seeds}); choose "
                "another folder (out, --out), or delete that one"
            )
        if not resume:
            raise OutputError(
                f"{self.path} holds this run already; go on with it, or add seeds to it (resume=True, "
                "--resume), or choose another folder (out, --out)"
            )
        if held["seeds"] != self.seeds:
            write_json(mark, held | {"seeds": self.seeds})
        (self.path / _SUMS).unlink(missing_ok=True)  # what it lists is written again

    @property
    def looks(self) -> int:
        """Which look at the test set the next one is: those at the same seeds are one."""
        return 1 + len([seeds for seeds in read_json(self.path / _MARK)["looks"] if seeds != self.seeds])

    @property
    def finished(self) -> bool:
        """Whether these seeds were measured."""
        return self.seeds in read_json(self.path / _MARK)["looks"]

    def note_look(self) -> None:
        """Note that the test set was looked at."""
        held = read_json(self.path / _MARK)
        if self.seeds not in held["looks"]:
            write_json(self.path / _MARK, held | {"looks": [*held["looks"], self.seeds]})

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

    def write_sums(self) -> None:
        """Write the checksums of what the run hands over."""
        paths = [path for path in self.path.iterdir() if path.is_file() and path.name not in _UNSUMMED]
        paths += [path for name in ("outcomes", "scores") for path in (self.path / name).rglob("*.*")]
        lines = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(self.path).as_posix()}\n"
            for path in sorted(paths)
            if path.is_file() and not path.name.startswith(".")
        ]
        write_atomically(self.path / _SUMS, "".join(lines).encode())

    def free_bytes(self) -> int:
        """Room left on the disk."""
        return shutil.disk_usage(self.path).free
