"""Shards from workers that die, fail, or do their work."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tutelage import errors
from tutelage.labelling import ray_engine
from tutelage.labelling.ray_engine import label_on_ray

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # it warns of its own settings
starts_ray = pytest.mark.slow


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of the test's own, so that starting one is paid for once."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'tutelage[ray]'")
    pytest.importorskip("ray.data", reason="Ray Data is not installed: pip install 'tutelage[ray]'")
    ray_engine._ray()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def making(folder: Path, happens: Any = None) -> Any:
    """A work whose shards are files; it is defined here so that it travels to workers by value."""

    class Work:
        def make(self, number: int) -> None:
            if happens is not None:
                happens(number, folder)
            (folder / str(number)).write_text("made")

    return Work


def made(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.iterdir() if path.name.isdigit()}


# ------------------------------------------------------------------------------------------------ without Ray


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(errors.MissingExtra, match=r"pip install 'tutelage\[ray\]'"):
        label_on_ray([0], making(tmp_path), workers=1)


def test_nothing_to_do_starts_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(ray_engine, "_ray", lambda: None)
    label_on_ray([], making(tmp_path), workers=2)


def raised_by(error: Exception, begun: int = 0) -> Exception:
    """What the caller sees of an error in a worker."""

    def make() -> Any:
        raise error

    worker = ray_engine._Worker(make, lambda number: begun, 8, "/nowhere", [])
    row = {name: held[0] for name, held in worker({"shard": [4]}).items()}
    try:
        ray_engine._check(row)
    except Exception as found:
        return found
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "error",
    [
        errors.OutputError("the disk is full"),
        errors.UnknownName("form of answers", "tpok", ["topk"]),
        errors.MissingExtra("ray", extra="ray", purpose="labelling"),
        errors.AnswersError("other answers"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_ours_come_back_as_they_were(error):
    found = raised_by(error)
    assert (type(found), str(found)) == (type(error), str(error))


def test_the_systems_errors_are_one_line():
    found = raised_by(PermissionError(13, "Permission denied", "/data"))
    assert isinstance(found, errors.AnswersError)
    assert "shard 4: [Errno 13] Permission denied: '/data'. Every machine" in str(found)


def test_a_bug_keeps_the_traceback_of_its_worker():
    found = raised_by(ZeroDivisionError("a bug"))
    assert type(found) is RuntimeError
    assert str(found).startswith("a worker failed at shard 4:\nTraceback")
    assert str(found).endswith("ZeroDivisionError: a bug\n")


def test_a_shard_is_not_begun_for_ever():
    found = raised_by(ZeroDivisionError(), begun=8)
    assert str(found).startswith("8 workers died over shard 4, one after the other")


# --------------------------------------------------------------------------------------------------- with Ray


@starts_ray
def test_workers_share_the_shards(ray, tmp_path, capfd):
    label_on_ray(range(1, 8), making(tmp_path), workers=2)
    assert made(tmp_path) == set(range(1, 8))
    assert ray.is_initialized()  # it was not started here
    said = capfd.readouterr()
    assert said.out == ""
    assert {line.split()[0] for line in said.err.splitlines()} == {"label"}


@starts_ray
def test_what_a_dead_worker_had_in_hand_is_done_again(ray, tmp_path):
    def dies_once(number: int, folder: Path) -> None:
        mark = folder / f"met-{number}"
        if number % 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    label_on_ray(range(6), making(tmp_path, dies_once), workers=2, quiet=True)
    assert made(tmp_path) == set(range(6))


@starts_ray
def test_a_shard_that_kills_its_workers_is_named_in_the_end(ray, tmp_path, monkeypatch):
    def dies(number: int, folder: Path) -> None:
        if number == 1:
            with (folder / "deaths").open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ray_engine, "DEATHS", 3)
    with pytest.raises(errors.AnswersError, match="3 workers died over shard 1"):
        label_on_ray(range(3), making(tmp_path, dies), workers=1, quiet=True)
    assert (tmp_path / "deaths").stat().st_size == 3


@starts_ray
def test_an_error_in_a_worker_is_not_tried_again(ray, tmp_path):
    def fails(number: int, folder: Path) -> None:
        if number == 2:
            with (folder / "tries").open("a") as file:
                file.write("x")
            raise FileNotFoundError(2, "No such file", "teacher.bin")

    with pytest.raises(errors.AnswersError, match=r"shard 2: .*'teacher.bin'. Every machine must"):
        label_on_ray(range(4), making(tmp_path, fails), workers=1, quiet=True)
    assert (tmp_path / "tries").stat().st_size == 1


@starts_ray
def test_a_teacher_that_cannot_be_built_is_one_error(ray, tmp_path):
    def make() -> Any:
        raise errors.ModelError("no such teacher")

    with pytest.raises(errors.ModelError, match="no such teacher"):
        label_on_ray(range(3), make, workers=2, quiet=True)


@starts_ray
def test_work_that_cannot_be_unpacked_is_one_error(ray):
    class Broken:
        def __reduce__(self) -> Any:
            return __import__, ("no_such_module",)

    with pytest.raises(errors.AnswersError, match=r"could not go on.*no_such_module"):
        label_on_ray(range(3), Broken(), workers=2, quiet=True)


@starts_ray
def test_a_stop_is_heeded_between_shards(ray, tmp_path):
    with pytest.raises(errors.Interrupted, match=r"1 of 9 shards"):
        label_on_ray(range(9), making(tmp_path), workers=1, quiet=True, stop_asked=lambda: True)


@starts_ray
def test_workers_find_what_lies_beside_their_caller(ray, tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def looks(number: int, folder: Path) -> None:
        import beside

        assert beside.answer == 42
        assert Path.cwd() == folder

    label_on_ray([0], making(tmp_path, looks), workers=1, quiet=True)
    assert made(tmp_path) == {0}
