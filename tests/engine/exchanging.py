"""What one of several processes does in the tests of their exchange: `python exchanging.py CASE FOLDER`."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tutelage.engine import memory_exchange
from tutelage.engine.memory_exchange import MemoryExchange
from tutelage.errors import TutelageError

RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
FOLDER = Path(sys.argv[2])


def meet() -> MemoryExchange:
    """Meet, and leave no file behind."""
    met = MemoryExchange.meet(RANK, WORLD)
    assert met is not None
    dist.barrier()
    assert not list(FOLDER.iterdir())
    return met


def numbers(*shape: int, rank: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Of one process, known to all."""
    drawn = torch.randint(-100, 100, shape, generator=torch.Generator().manual_seed(rank))
    return drawn.to(dtype)


def sums() -> None:
    """Of every dtype, of other orders in memory, of nothing, of more than fits at once."""
    met = meet()
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8):
        several = [numbers(3, 5, rank=RANK, dtype=dtype), numbers(7, rank=RANK + 9, dtype=dtype)]
        met.sum_(several)
        for offset, shape, held in zip((0, 9), ((3, 5), (7,)), several, strict=True):
            assert held.equal(sum(numbers(*shape, rank=r + offset, dtype=dtype) for r in range(WORLD)))
    turned, one, none = numbers(4, 6, rank=RANK).t(), torch.tensor(RANK + 0.5), torch.empty(0)
    images = numbers(2, 3, 4, 4, rank=RANK).contiguous(memory_format=torch.channels_last)
    met.sum_([turned, one, none, images])
    assert turned.equal(sum(numbers(4, 6, rank=r).t() for r in range(WORLD)))
    assert images.equal(sum(numbers(2, 3, 4, 4, rank=r) for r in range(WORLD)))
    assert one == sum(range(WORLD)) + WORLD / 2
    large = [numbers(5_000_000, rank=RANK), numbers(1_000_001, rank=RANK + 1)]
    met.sum_(large)
    assert large[0].equal(sum(numbers(5_000_000, rank=r) for r in range(WORLD)))
    assert large[1].equal(sum(numbers(1_000_001, rank=r + 1) for r in range(WORLD)))


def turns() -> None:
    """Processes that dawdle at random neither overtake nor are overtaken; all have the same bits."""
    met, dawdle = meet(), random.Random(RANK)
    for number in range(300):
        if dawdle.random() < 0.1:
            time.sleep(0.01)
        mine = torch.rand(1 + 37 * number % 501, generator=torch.Generator().manual_seed(number + RANK))
        met.sum_([mine])
        others = [torch.empty_like(mine) for _ in range(WORLD)]
        dist.all_gather(others, mine)
        assert all(other.equal(mine) for other in others)


def killed() -> None:
    """The last process dies at work; the others hear of it."""
    met = meet()
    met.sum_([torch.ones(3)])
    if RANK == WORLD - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    with pytest.raises(TutelageError, match="heard nothing more"):
        met.sum_([torch.ones(3)])
    os._exit(7)  # past the barrier, which would never open


def unreachable() -> None:
    """One process does not find the memory: all go the long way, and nothing is left."""
    if RANK == 1:
        memory_exchange._enter = lambda folder, rank: None
    assert MemoryExchange.meet(RANK, WORLD) is None
    dist.barrier()
    memory_exchange._ROOM = 2**60
    assert MemoryExchange.meet(RANK, WORLD) is None
    memory_exchange._MEMORY = FOLDER / "none"
    assert MemoryExchange.meet(RANK, WORLD) is None


if __name__ == "__main__":
    memory_exchange._MEMORY = FOLDER
    dist.init_process_group("gloo")
    {"sums": sums, "turns": turns, "killed": killed, "unreachable": unreachable}[sys.argv[1]]()
    dist.barrier()
    assert not list(FOLDER.iterdir())
    dist.destroy_process_group()
