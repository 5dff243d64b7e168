"""The folder of a tuning: whose it is, who works at what, and where trials are noted.

Who works at a trial holds a lock on a file, which the system takes back when a process ends in any way. So a
trial whose lock can be had is nobody's, however its worker ended, and no clock has to decide.
"""

from __future__ import annotations

import contextlib
import json
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.errors import MissingExtra, OutputError
from tutelage.files import read_json, write_json
from tutelage.tuning.journal import open_journal

if TYPE_CHECKING:
    import optuna
    from filelock import FileLock

__all__ = ["Place", "need_optuna"]

_MARK = "tune.json"
_JOURNAL = "journal.log"
FORMAT = 1
"""The format of a tuning's folder."""


def need_optuna() -> None:
    """Refuse to go on without the packages of the extra.

    Raises:
        MissingExtra: Optuna or filelock are not installed.
    """
    for package in ("optuna", "filelock"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra(package, extra="tune", purpose="tuning") from error


class Place:
    """The folder of one tuning, which all that work at it share.

    Args:
        path: where it is.
        identity: what is tuned, and by which values.
        storage: a database's URL for the trials; None for a journal in the folder.
        resume: go on with a tuning that is there already, or work at it beside others.

    Raises:
        OutputError: the folder holds something else, or this tuning without `resume`; the storage holds
            another one.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, storage: str | None, resume: bool) -> None:
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; choose a folder for the tuning (out, --out)")
        self.path, self._url = path, storage
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {path}: {error.strerror or error}") from error
        with self.lock("claims"):
            self.id = self._take_up(json.loads(json.dumps(dict(identity))), resume)

    def _take_up(self, identity: Any, resume: bool) -> str:
        mark = self.path / _MARK
        if not mark.exists():
            if any(one.name != ".locks" for one in self.path.iterdir()):
                raise OutputError(
                    f"{self.path} holds other files and no tuning; choose an empty folder (out, --out)"
                )
            held = {"format": FORMAT, "id": uuid.uuid4().hex, **identity}
            write_json(mark, held)
            return str(held["id"])
        held = read_json(mark)
        if held.get("format") != FORMAT:
            raise OutputError(
                f"{self.path} holds a tuning of another version; choose another folder (out, --out)"
            )
        differ = [key for key in identity if held.get(key) != identity[key]]
        if differ:
            raise OutputError(
                f"{self.path} holds another tuning: it differs in {_told(held, identity, differ)}. Go on "
                "with it by the same command, or choose another folder (out, --out)"
            )
        if not resume:
            raise OutputError(
                f"{self.path} holds this tuning already; go on with it, or work at it beside other processes "
                "(resume=True, --resume), or choose another folder (out, --out)"
            )
        return str(held["id"])

    def lock(self, name: str) -> FileLock:
        """A lock that all who work at this tuning know by its name."""
        from filelock import FileLock

        file = self.path / ".locks" / f"{name}.lock"
        file.parent.mkdir(exist_ok=True)
        return FileLock(file)

    def study(self, side: str, *, maximize: bool, pruner: optuna.pruners.BasePruner) -> optuna.Study:
        """The trials of a side, as they are noted so far.

        Raises:
            OutputError: the storage cannot be opened, or holds the trials of another tuning.
        """
        import optuna

        direction = "maximize" if maximize else "minimize"
        name = f"tutelage/{self.id}/{side}" if self._url is None else f"tutelage/{side}"
        with self.lock("claims"):
            study = optuna.create_study(
                storage=self._storage(),
                study_name=name,
                direction=direction,  # type: ignore[arg-type]
                pruner=pruner,
                load_if_exists=True,
            )
            of = study.user_attrs.get("of")
            if of is None and not study.get_trials(deepcopy=False):
                study.set_user_attr("of", self.id)
            elif of != self.id:
                raise OutputError(
                    f"the storage {_hidden(self._url)} holds the trials of another tuning, not those of "
                    f"{self.path}; give another storage (storage, --storage), or the folder of that one"
                )
        return study

    def _storage(self) -> optuna.storages.BaseStorage:
        import optuna

        if self._url is not None:
            try:
                return optuna.storages.RDBStorage(self._url)
            except Exception as error:  # what a database's driver raises is of its own kind
                raise OutputError(
                    f"the storage {_hidden(self._url)} cannot be opened ({type(error).__name__}: {error}); "
                    "expected a database's URL, such as sqlite:///tune.db"
                ) from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return open_journal(self.path / _JOURNAL, self.lock("journal"))

    def folder(self, side: str, name: str) -> Path:
        """Where the training of a trial writes."""
        return self.path / side / name

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[bool]:
        """Whether a piece of work could be had; it is this process's while the block lasts."""
        from filelock import Timeout

        lock = self.lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def _told(held: Any, identity: Any, differ: list[str]) -> str:
    said = []
    for key in differ:
        before, now = held.get(key), identity[key]
        short = len(json.dumps([before, now])) < 300
        said.append(f"{key} ({before} there, {now} here)" if short else key)
    return ", ".join(said)


def _hidden(url: str | None) -> str:
    """A database's URL without what stands before the host, which may be a password."""
    if url is None:
        return _JOURNAL
    scheme, sign, rest = url.partition("://")
    return scheme + sign + rest.rpartition("@")[2]
