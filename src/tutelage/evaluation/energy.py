"""Energy counters of the machine, where it has some that can be read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

__all__ = ["Meter", "Nvml", "Rapl", "joules_per_call", "meter_for"]

POWERCAP = Path("/sys/class/powercap")


class Meter(Protocol):
    """A counter of energy."""

    def read(self) -> dict[str, float]:
        """Joules since some moment, for each part of the machine."""
        ...

    def spent(self, before: dict[str, float], after: dict[str, float]) -> float:
        """Joules between two readings."""
        ...


class Rapl:
    """The processor's own counters (Linux powercap, RAPL): packages and their memory.

    They count the whole package: idle power and whatever else runs. A counter starts again from zero
    after `max_energy_range_uj`; between two readings that may happen once.

    Args:
        root: the powercap folder.

    Raises:
        OSError: no counter there, or none that this user may read.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones = [zone for zone in sorted(root.iterdir()) if _is_counted(zone)]
        if not self._zones:
            raise FileNotFoundError(f"no RAPL package under {root}")
        self._range = {zone.name: _joules(zone / "max_energy_range_uj") for zone in self._zones}
        self.read()

    def read(self) -> dict[str, float]:
        """Joules by zone."""
        return {zone.name: _joules(zone / "energy_uj") for zone in self._zones}

    def spent(self, before: dict[str, float], after: dict[str, float]) -> float:
        """Joules between two readings, one wraparound of each counter allowed for."""
        return sum(
            after[name] - start + (self._range[name] if after[name] < start else 0)
            for name, start in before.items()
        )


class Nvml:
    """One NVIDIA board's counter of energy since its driver was loaded.

    Args:
        device: the CUDA device, as torch numbers it.

    Raises:
        ImportError: pynvml is not installed.
        OSError: the driver, the board or its counter is missing.
    """

    def __init__(self, device: torch.device) -> None:
        import pynvml

        self._nvml: Any = pynvml
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            self.read()
        except pynvml.NVMLError as error:
            raise OSError(f"NVML has no counter of energy for {uuid}: {error}") from error

    def read(self) -> dict[str, float]:
        """Joules of the board."""
        return {"board": self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000}

    def spent(self, before: dict[str, float], after: dict[str, float]) -> float:
        """Joules between two readings."""
        return after["board"] - before["board"]


def meter_for(device: torch.device, *, root: Path = POWERCAP) -> Meter | None:
    """The counter of this device, or None where there is none or it may not be read."""
    try:
        if device.type == "cuda":
            return Nvml(device)
        return Rapl(root) if device.type == "cpu" else None
    except (OSError, ValueError, ImportError):
        return None


def joules_per_call(
    call: Callable[[], object],
    meter: Meter | None,
    *,
    window: float = 0.5,
    clock: Callable[[], float] = time.perf_counter,
) -> float | None:
    """Mean energy of one call, in joules, from calls repeated for at least `window` seconds.

    Args:
        call: does the work and waits for it to end.
        meter: the counter; None gives None.
        window: seconds; counters move every few milliseconds to tenths of a second.
        clock: seconds.

    Returns:
        Joules, or None where the counter is missing or did not move.
    """
    if meter is None:
        return None
    calls, before, start = 0, meter.read(), clock()
    while calls == 0 or clock() - start < window:
        call()
        calls += 1
    spent = meter.spent(before, meter.read())
    return spent / calls if spent > 0 else None


def _is_counted(zone: Path) -> bool:
    """A package, or the memory beside it.

    Cores and graphics are inside the package's number; psys and mmio zones repeat it.
    """
    name_file = zone / "name"
    if not name_file.is_file() or not re.fullmatch(r"intel-rapl(:\d+){1,2}", zone.name):
        return False
    name = name_file.read_text().strip()
    return name == "dram" if zone.name.count(":") == 2 else name != "psys"


def _joules(path: Path) -> float:
    return int(path.read_text()) / 1e6
