"""Shards made by workers on many machines, through Ray Data. A worker that dies has its shards done again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tutelage.engine.tracking import Progress
from tutelage.errors import MissingExtra

if TYPE_CHECKING:
    from tutelage.runs.labelling import Labelling

__all__ = ["label_on_ray"]


def label_on_ray(
    missing: list[int],
    make: Callable[[], Labelling],
    *,
    workers: int,
    quiet: bool = False,
    label: str = "label",
) -> None:
    """Make shards on a Ray cluster, or on one that is started on this machine.

    Args:
        missing: the numbers of the shards.
        make: -> the work, made anew in each worker; it must be picklable. All workers reach the answers'
            place and the teacher's weights.
        workers: how many ask at a time.
        quiet: show no progress.
        label: what to call it in progress.

    Raises:
        MissingExtra: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("ray", extra="ray", purpose="labelling on several machines") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, num_cpus=None)
    work = ray.data.from_items([{"shard": number} for number in missing], override_num_blocks=len(missing))
    made = work.map_batches(
        _Worker,
        fn_constructor_args=(make,),
        batch_size=1,
        concurrency=min(workers, len(missing)),
        num_cpus=1,
        max_restarts=-1,
        max_task_retries=-1,
    )
    done = 0
    with Progress(label, len(missing), quiet=quiet) as progress:
        for _ in made.iter_rows():
            done += 1
            progress.show(done, {})


class _Worker:
    """Builds the teacher once, and makes the shards that it is given."""

    def __init__(self, make: Callable[[], Labelling]) -> None:
        self.labelling = make()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for number in batch["shard"]:
            self.labelling.make(int(number))
        return batch
