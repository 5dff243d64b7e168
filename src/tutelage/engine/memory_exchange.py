"""Sums over the processes of one host, through memory that they share.

Processes on CPUs exchange through gloo, which sends every number through the loopback interface, though all
of them could read it where it is.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
import torch.distributed as dist
from jaxtyping import Shaped, UInt8
from torch import Tensor

from tutelage.errors import TutelageError

__all__ = ["MemoryExchange"]

_MEMORY = Path("/dev/shm")  # noqa: S108  where Linux shows memory as files
_ROOM = 2**25  # bytes that all processes share
_PATIENCE = 1800.0  # seconds that one waits for the others, as torch does


class MemoryExchange:
    """A sum for which each process adds up one part of the numbers.

    Each process copies its tensors into a slot of its own, adds its part of all slots up in the first one,
    and copies the whole from there, so that all have the same numbers to the last bit. Two sets of slots take
    turns: nobody writes where another may still read.

    Args:
        slots: both sets, one slot for each process; the same memory in all of them.
        rank: the number of this process.
        links: from the first process to each other; from the others to the first.
    """

    def __init__(
        self, slots: UInt8[Tensor, "2 world bytes"], rank: int, links: Sequence[socket.socket]
    ) -> None:
        self._slots, self._rank, self._links = slots, rank, links
        self._turn = 0

    @classmethod
    def meet(cls, rank: int, world: int) -> Self | None:
        """Meet the other processes; all of them call this. None, to each, unless all share memory."""
        door = _Door.open(world) if rank == 0 else None
        held = [door and str(door.folder)]
        dist.broadcast_object_list(held, src=0)
        came = _enter(Path(held[0]), rank) if held[0] else None
        everyone: list[bool | None] = [None] * world
        dist.all_gather_object(everyone, came is not None)
        links = door.close(world - 1 if all(everyone) else 0) if door else []
        if came is None or not all(everyone):
            return None
        memory, link = came
        size = _ROOM // (2 * world) // 64 * 64  # so that a slot begins where a number of any dtype may
        slots = memory[: 2 * world * size].view(2, world, size)
        return cls(slots, rank, links if link is None else [link])

    @torch.no_grad()
    def sum_(self, tensors: Sequence[Shaped[Tensor, "..."]]) -> None:
        """Sum each tensor over processes, in place; all of one dtype, on the CPU.

        Raises:
            TutelageError: another process ended, or was not heard of for half an hour.
        """
        flat = [tensor.reshape(-1) for tensor in tensors]
        for load in _loads(flat, self._slots.shape[-1] // tensors[0].element_size()):
            self._sum_load_(load)
        for tensor, values in zip(tensors, flat, strict=True):
            if values.data_ptr() != tensor.data_ptr():  # a copy, since the tensor lies in another order
                tensor.copy_(values.view_as(tensor))

    def _sum_load_(self, load: Sequence[Shaped[Tensor, " numbers"]]) -> None:
        lengths = [len(values) for values in load]
        slots = self._slots[self._turn].view(load[0].dtype)[:, : sum(lengths)]
        self._turn = 1 - self._turn
        for place, values in zip(torch.split(slots[self._rank], lengths), load, strict=True):
            place.copy_(values)
        self._wait()
        world, count = slots.shape
        part = slice(count * self._rank // world, count * (self._rank + 1) // world)
        for slot in slots[1:, part]:
            slots[0, part] += slot
        self._wait()
        for place, values in zip(torch.split(slots[0], lengths), load, strict=True):
            values.copy_(place)

    def _wait(self) -> None:
        """Let every process arrive here before any goes on; what was written before is seen after."""
        try:
            if self._rank:
                self._links[0].sendall(b"x")
            for link in self._links:
                if not link.recv(1):
                    raise ConnectionResetError("it ended")
            if not self._rank:
                for link in self._links:
                    link.sendall(b"x")
        except OSError as error:
            raise TutelageError(
                f"process {self._rank} waited for another process of this training and heard nothing more "
                f"({error}); what that one wrote says why"
            ) from error


class _Door:
    """Where the others find the memory, and the first process."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self.folder, self._listener = folder, listener

    @classmethod
    def open(cls, world: int) -> Self | None:
        """Reserve the memory and listen; None where that cannot be."""
        try:
            folder = Path(tempfile.mkdtemp(prefix="tutelage-", dir=_MEMORY))
        except OSError:
            return None
        try:
            with (folder / "memory").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _ROOM)  # a full disk would else end the process later
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(folder / "door"))
            listener.listen(world)
        except OSError:
            shutil.rmtree(folder)
            return None
        return cls(folder, listener)

    def close(self, guests: int) -> list[socket.socket]:
        """Let `guests` in, who have knocked, and leave no file behind; the memory stays while it is used."""
        with self._listener:
            links = [self._listener.accept()[0] for _ in range(guests)]
        shutil.rmtree(self.folder)
        for link in links:
            link.settimeout(_PATIENCE)
        return links


def _enter(folder: Path, rank: int) -> tuple[UInt8[Tensor, " bytes"], socket.socket | None] | None:
    """The memory and a link to the first process, which needs none; None where they are out of reach."""
    try:
        memory = torch.from_file(str(folder / "memory"), shared=True, size=_ROOM, dtype=torch.uint8)
        if rank == 0:
            return memory, None
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(_PATIENCE)
        link.connect(str(folder / "door"))
    except (OSError, RuntimeError):
        return None
    return memory, link


def _loads(
    flat: Sequence[Shaped[Tensor, " numbers"]], room: int
) -> Iterator[list[Shaped[Tensor, " numbers"]]]:
    """All numbers in order, in loads of at most `room`."""
    load, left = [], room
    for values in flat:
        rest = values
        while len(rest):
            load.append(rest[:left])
            rest, left = rest[len(load[-1]) :], left - len(load[-1])
            if not left:
                yield load
                load, left = [], room
    if load:
        yield load
