"""What a run was made with: versions, machine, data."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import psutil
import torch

from tutelage.studies import Study

__all__ = ["environment", "versions"]

_PACKAGES = (
    "tutelage",
    "torch",
    "accelerate",
    "datasets",
    "transformers",
    "scikit-learn",
    "numpy",
    "safetensors",
)


def environment(study: Study) -> dict[str, Any]:
    """Versions, the machine, and the hashes of the data, for the record."""
    problem = study.problem
    parts = {"train": problem.train, "validation": problem.validation, "test": problem.test}
    transfer = study.first.source
    if transfer is not problem.train:
        parts["transfer"] = transfer
    data = {
        name: {"examples": len(part), "sha256": part.fingerprint()}
        for name, part in parts.items()
        if part is not None
    }
    return {"versions": versions(), "machine": _machine(), "data": data, "seeds": list(study.seeds)}


def versions() -> dict[str, str]:
    """Of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
    }
    if torch.cuda.is_available():
        machine["accelerator"] = torch.cuda.get_device_name()
    return machine


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
