import sys
import types

import pytest
import torch

from tutelage.evaluation.energy import Rapl, joules_per_call, meter_for


def zone(root, folder, name, microjoules, most=1_000_000_000):
    place = root / folder
    place.mkdir()
    (place / "name").write_text(f"{name}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")
    return place / "energy_uj"


@pytest.fixture
def powercap(tmp_path):
    (tmp_path / "intel-rapl").mkdir()
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 400_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 2_000_000)
    zone(tmp_path, "intel-rapl:1", "psys", 9_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    return tmp_path


class Ticks:
    """A clock that moves a tenth of a second a look."""

    now = 0.0

    def __call__(self):
        self.now += 0.1
        return self.now


def test_packages_and_their_memory_count_and_nothing_twice(powercap):
    assert Rapl(powercap).read() == {"intel-rapl:0": 1.0, "intel-rapl:0:1": 2.0}


def test_a_counter_that_wraps_around(powercap):
    meter = Rapl(powercap)
    before = {"intel-rapl:0": 999.0, "intel-rapl:0:1": 2.0}
    after = {"intel-rapl:0": 4.0, "intel-rapl:0:1": 2.5}
    assert meter.spent(before, after) == pytest.approx(5.0 + 0.5)


def test_joules_per_call(powercap):
    calls = []

    def call():
        calls.append(1)
        (powercap / "intel-rapl:0" / "energy_uj").write_text(str(1_000_000 + 3_000_000 * len(calls)))

    assert joules_per_call(call, Rapl(powercap), window=0.5, clock=Ticks()) == pytest.approx(3.0)
    assert len(calls) >= 4


def test_what_cannot_be_measured_is_none(powercap):
    assert joules_per_call(lambda: None, None) is None
    assert joules_per_call(lambda: None, Rapl(powercap), window=0) is None


def test_meters_that_are_not_there(tmp_path, powercap):
    assert isinstance(meter_for(torch.device("cpu"), root=powercap), Rapl)
    assert meter_for(torch.device("cpu"), root=tmp_path / "none") is None
    empty = tmp_path / "empty"
    empty.mkdir()
    assert meter_for(torch.device("cpu"), root=empty) is None
    assert meter_for(torch.device("meta"), root=powercap) is None


def test_a_counter_that_may_not_be_read(powercap, monkeypatch):
    def refuse(self):
        raise PermissionError(str(self))

    monkeypatch.setattr("tutelage.evaluation.energy.Path.read_text", refuse)
    assert meter_for(torch.device("cpu"), root=powercap) is None


class FakeNvml(types.SimpleNamespace):
    class NVMLError(Exception):
        pass

    def __init__(self, *, supported):
        super().__init__(supported=supported, millijoules=1000, asked=None)

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        self.asked = uuid
        return "board"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if not self.supported:
            raise self.NVMLError("Not Supported")
        return self.millijoules


@pytest.fixture
def board(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(uuid="abc"))

    def install(*, supported):
        fake = FakeNvml(supported=supported)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        return fake

    return install


def test_a_board_is_found_by_its_uuid_and_counts_millijoules(board):
    fake = board(supported=True)
    meter = meter_for(torch.device("cuda", 0))
    before = meter.read()
    fake.millijoules = 3500
    assert meter.spent(before, meter.read()) == pytest.approx(2.5)
    assert fake.asked == "GPU-abc"


def test_a_board_without_a_counter_is_none(board):
    board(supported=False)
    assert meter_for(torch.device("cuda", 0)) is None


def test_nvml_that_is_not_installed_is_none(board, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert meter_for(torch.device("cuda", 0)) is None
