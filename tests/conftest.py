"""What every test process has: one thread, no network, caches of its own."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

_CACHE = tempfile.TemporaryDirectory(prefix="tutelage-tests-")
atexit.register(_CACHE.cleanup)
os.environ |= {
    "HF_HOME": _CACHE.name,
    "HF_DATASETS_CACHE": f"{_CACHE.name}/datasets",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "MPLCONFIGDIR": f"{_CACHE.name}/matplotlib",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

# Without a GPU, each seed is kept for one together with the whole call stack in words: up to 2 ms a seed.
if not torch.cuda.is_available():
    torch.manual_seed = torch.default_generator.manual_seed

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def short_latencies():
    """What is timed in tests of whole runs says nothing, so that little is spent on it."""
    from tutelage.evaluation import latency

    before, latency.BUDGET = latency.BUDGET, 0.1
    yield
    latency.BUDGET = before


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; tests that use it are skipped where it is absent."""
    folder = Path(os.environ.get("TUTELAGE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; say where it is with TUTELAGE_DATA")
    return folder
