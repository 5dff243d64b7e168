"""Processes of one host sum through their memory as they would through the network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tutelage.engine import memory_exchange

SCRIPT = Path(__file__).with_name("exchanging.py")
pytestmark = pytest.mark.skipif(
    not memory_exchange._MEMORY.is_dir(), reason=f"no memory shows as files at {memory_exchange._MEMORY}"
)


def ends(case: str, folder: Path, world: int) -> list[int]:
    """How each process ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
    command = [sys.executable, str(SCRIPT), case, str(folder)]
    running = [subprocess.Popen(command, env=common | {"RANK": str(rank)}) for rank in range(world)]
    try:
        return [process.wait(120) for process in running]
    finally:
        for process in running:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("case", ["sums", "turns"])
def test_sums(case, world, tmp_path):
    assert ends(case, tmp_path, world) == [0] * world


@pytest.mark.slow
def test_memory_that_one_does_not_find_serves_nobody(tmp_path):
    assert ends("unreachable", tmp_path, 2) == [0, 0]


@pytest.mark.slow
def test_a_process_that_died_is_missed(tmp_path):
    assert ends("killed", tmp_path, 3) == [7, 7, -signal.SIGKILL]
