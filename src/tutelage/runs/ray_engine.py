"""Shards made by workers on many machines, through Ray Data. A worker that dies has its shards done again."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tutelage.engine.tracking import Progress
from tutelage.errors import AnswersError, Interrupted, MissingExtra, TutelageError

if TYPE_CHECKING:
    from tutelage.runs.labelling import Labelling

__all__ = ["label_on_ray"]

DEATHS = 8
"""How many workers may die over one shard; a worker dies for many reasons, and a shard kills it each time."""


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
                    raise Interrupted(f"stopped on request; {done} of {len(missing)} shards were made")


def _ray() -> Any:
    """Ray, which says nothing of itself to others, and nothing of its devices to the user."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
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
    with _own_signals():
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
def _silent(ray: Any) -> Iterator[None]:
    """No bars and no lines of Ray's own; its files of logs have them."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.execution_options.verbose_progress = False
    context.execution_no_progress_timeout_s = -1  # a shard of a large teacher may take its time
    names = ("ray", "ray.data")
    before = [logging.getLogger(name).level for name in names]
    with ray.data.DataContext.current(context):
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in zip(names, before, strict=True):
                logging.getLogger(name).setLevel(level)


def _shards(ray: Any, missing: Sequence[int], make: Callable[[], Labelling], workers: int) -> Any:
    """The rows of made shards, as they will come."""
    accelerators = ray.cluster_resources().get("GPU", 0)
    work = ray.data.from_items([{"shard": number} for number in missing], override_num_blocks=len(missing))
    return work.map_batches(
        _Worker,
        fn_constructor_args=(make, os.getcwd(), tuple(sys.path)),
        batch_size=1,
        concurrency=workers,
        num_cpus=1,
        num_gpus=min(1.0, accelerators / workers),
        max_restarts=-1,
        max_task_retries=DEATHS,
    )


def _rows(ray: Any, made: Any) -> Iterator[dict[str, Any]]:
    """The rows; an error of Ray's in our words."""
    try:
        yield from made.iter_rows()
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()
        raise AnswersError(
            f"the workers could not go on ({type(error).__name__}: {said[-1] if said else ''}). One that "
            f"dies is started again, {DEATHS} times over one shard: look for memory that ran out, and take "
            "fewer --workers. Finished shards stay; label again to go on"
        ) from error


class _Worker:
    """Builds the teacher once, and makes the shards that it is given.

    The teacher is built with the first shard, so that a worker that dies while it builds has that shard's
    deaths counted. Errors travel as rows: Ray would wrap them, and some do not survive pickling.
    """

    def __init__(self, make: Callable[[], Labelling], folder: str, path: Sequence[str]) -> None:
        if os.path.isdir(folder):
            os.chdir(folder)
        sys.path += [entry for entry in path if entry not in sys.path]
        self.make = make
        self.labelling: Labelling | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (number,) = batch["shard"]
        try:
            self.labelling = self.labelling or self.make()
            self.labelling.make(int(number))
        except Exception as error:
            return {"shard": [number], "kind": [_kind(error)], "said": [str(error)], "where": [_trace()]}
        return {"shard": [number], "kind": [""], "said": [""], "where": [""]}


def _kind(error: Exception) -> str:
    """A name for an error by which `_check` finds its class again."""
    if isinstance(error, TutelageError):
        return type(error).__name__
    return f"OSError:{type(error).__name__}" if isinstance(error, OSError) else f"bug:{type(error).__name__}"


def _trace() -> str:
    return traceback.format_exc()


def _check(row: dict[str, Any]) -> None:
    """Raise what a worker raised."""
    kind, said = str(row["kind"]), str(row["said"])
    if not kind:
        return
    from tutelage import errors

    if ":" not in kind:
        found = getattr(errors, kind, AnswersError)
        raise found.__new__(found, said)
    origin, _, name = kind.partition(":")
    if origin == "OSError":
        raise AnswersError(
            f"a worker could not make shard {row['shard']} ({name}: {said}); workers have this process's "
            "paths, and all of them must reach what lies there. Finished shards stay; label again to go on"
        )
    raise RuntimeError(f"a worker failed at shard {row['shard']}; it said:\n{row['where']}")
