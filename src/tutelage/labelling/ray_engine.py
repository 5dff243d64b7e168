"""Shards made by workers on many machines, through Ray Data. A worker that dies has its shards done again."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tutelage import errors
from tutelage.engine.tracking import Progress
from tutelage.errors import AnswersError, Interrupted, MissingExtra, TutelageError

if TYPE_CHECKING:
    from tutelage.labelling import Labelling

__all__ = ["label_on_ray"]

DEATHS = 8
"""How many workers may die over one shard before it is held to be what kills them."""

_BUG, _SYSTEM = "bug", "system"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def label_on_ray(
    missing: Sequence[int],
    make: Callable[[], Labelling],
    *,
    workers: int,
    quiet: bool = False,
    label: str = "label",
    stop_asked: Callable[[], bool] = lambda: False,
) -> None:
    """Make shards on a Ray cluster that runs here, or on one that is started on this machine and ended again.

    The shards that a dead worker had in hand are made again by it, restarted, or by another. An error in
    Python is not tried again: the first one ends the work, and what was finished stays.

    Args:
        missing: the numbers of the shards.
        make: -> the work, made anew in each worker; it must be picklable. All workers reach the answers'
            place and the teacher's weights, by the same paths.
        workers: how many ask at a time; each has a processor, and its part of the accelerators.
        quiet: show no progress.
        label: what to call it in progress.
        stop_asked: looked at after each shard.

    Raises:
        MissingExtra: Ray is not installed.
        TutelageError: what a worker raised.
        AnswersError: a worker met another error of the system, or workers died over and over.
        Interrupted: a stop was asked for; finished shards stay.
    """
    ray = _ray()
    if not missing:
        return
    with _cluster(ray, workers), _silent(ray):
        made = _shards(ray, missing, make, min(workers, len(missing)))
        with Progress(label, len(missing), quiet=quiet) as progress:
            for done, row in enumerate(_rows(ray, made), 1):
                _check(row)
                progress.show(done, {})
                if stop_asked() and done < len(missing):
                    raise Interrupted(
                        f"stopped on request; {done} of {len(missing)} shards are made, and stay"
                    )


def _ray() -> Any:
    """Ray, told to say nothing of itself to others, nor of its inner life to the user."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("ray", extra="ray", purpose="labelling on several machines") from error
    return ray


@contextlib.contextmanager
def _cluster(ray: Any, workers: int) -> Iterator[None]:
    """A cluster: the one that this process is in, one that runs here, or one for the while."""
    if ray.is_initialized():
        yield
        return
    said: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _own_signals(), _hushed():
        try:
            ray.init(address="auto", **said)
        except ConnectionError:
            size = max(workers, os.cpu_count() or 1)
            ray.init(address="local", num_cpus=size, include_dashboard=False, **said)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what this process does on signals; Ray sets its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """No words from libraries on stderr: Ray's announces there at which level it logs."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _silent(ray: Any) -> Iterator[None]:
    """No bars and no lines of Ray's own; its files of logs have them."""
    settings = ray.data.DataContext.get_current()
    # a shard of a large teacher may take its time
    wanted: dict[str, Any] = {"enable_progress_bars": False, "execution_no_progress_timeout_s": -1}
    before = {name: getattr(settings, name, None) for name in wanted}
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in ("ray", "ray.data")}
    try:
        for name, value in wanted.items():
            setattr(settings, name, value)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)
        for logger, level in loggers.items():
            logger.setLevel(level)


def _shards(ray: Any, missing: Sequence[int], make: Callable[[], Labelling], workers: int) -> Any:
    """The rows of made shards, as they will come."""
    accelerators = ray.cluster_resources().get("GPU", 0)
    starts = ray.remote(_Starts).options(num_cpus=0).remote()
    work = ray.data.from_items([{"shard": number} for number in missing], override_num_blocks=len(missing))
    return work.map_batches(
        _Worker,
        fn_constructor_args=(make, partial(_begin, starts), DEATHS, os.getcwd(), tuple(sys.path)),
        batch_size=1,
        concurrency=workers,
        num_cpus=1,
        num_gpus=min(1.0, accelerators / workers),
    )


def _rows(ray: Any, made: Any) -> Iterator[dict[str, Any]]:
    """The rows; an error of Ray's in our words."""
    try:
        yield from made.iter_rows()
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()
        raise AnswersError(
            f"Ray's workers could not go on ({type(error).__name__}: {said[-1] if said else ''}); each "
            "machine needs this version of tutelage. Finished shards stay; label again to go on"
        ) from error


class _Starts:
    """Counts how often each shard was begun, for all workers."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """How often it has been begun before."""
        self.counts[number] += 1
        return self.counts[number] - 1


def _begin(starts: Any, number: int) -> int:
    import ray

    before: int = ray.get(starts.begin.remote(number))
    return before


class _Worker:
    """Builds the teacher once, and makes the shards that it is given.

    Ray starts a dead worker again without end, and its shards with it; a shard that kills its workers is
    found by counting. The teacher is built with the first shard, so that deaths meanwhile count too. Errors
    travel as rows: Ray would wrap them, and some do not survive pickling.

    Args:
        make: -> the work.
        begin: a shard -> how often it was begun before, by any worker.
        deaths: how many may die over one shard.
        folder, path: the working folder and the import path of who asks.
    """

    def __init__(
        self,
        make: Callable[[], Labelling],
        begin: Callable[[int], int],
        deaths: int,
        folder: str,
        path: Sequence[str],
    ) -> None:
        if os.path.isdir(folder):
            os.chdir(folder)
        sys.path += [entry for entry in path if entry not in sys.path]
        self.make, self.begin, self.deaths = make, begin, deaths
        self.labelling: Labelling | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        number = int(batch["shard"][0])
        kind, said = "", ""
        try:
            self._make(number)
        except Exception as error:
            kind, said = _kind(error), str(error)
            if kind == _BUG:
                said = traceback.format_exc()
        return {"shard": [number], "kind": [kind], "said": [said]}

    def _make(self, number: int) -> None:
        died = self.begin(number)
        if died >= self.deaths:
            raise AnswersError(
                f"{died} workers died over shard {number}, one after the other; if a machine ran out of "
                "memory, take fewer --workers. Finished shards stay; label again to go on"
            )
        self.labelling = self.labelling or self.make()
        self.labelling.make(number)


def _kind(error: Exception) -> str:
    """What an error is, in a word: a class of ours, one of the system's, or a bug."""
    if isinstance(error, TutelageError):
        return type(error).__name__
    return _SYSTEM if isinstance(error, OSError) else _BUG


def _check(row: dict[str, Any]) -> None:
    """Raise what a worker raised."""
    number, kind, said = int(row["shard"]), str(row["kind"]), str(row["said"])
    if kind == _BUG:
        raise RuntimeError(f"a worker failed at shard {number}:\n{said}")
    if kind == _SYSTEM:
        raise AnswersError(
            f"a worker could not make shard {number}: {said}. Every machine must reach what lies at this "
            "one's paths. Finished shards stay; label again to go on"
        )
    if kind:
        found = getattr(errors, kind, AnswersError)
        raise found.__new__(found, said)  # some take other arguments than their message
