"""Student and teacher spread over processes, of whom losses read the head."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("transformers")
SCRIPT = Path(__file__).with_name("spread.py")


def trained(out: Path, tied: str, port: int, world: int) -> dict[str, torch.Tensor]:
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    running = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(out), tied],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(world)
    ]
    assert [process.wait() for process in running] == [0] * world
    return load_file(out)


@pytest.mark.slow
@pytest.mark.parametrize("tied", ["tied", "untied"])
def test_two_processes_equal_one(tied, free_tcp_port, tmp_path):
    one = trained(tmp_path / "one.safetensors", tied, free_tcp_port, 1)
    two = trained(tmp_path / "two.safetensors", tied, free_tcp_port, 2)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-10, atol=1e-10)
