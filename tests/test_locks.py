from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tutelage.errors import OutputError
from tutelage.locks import LOCK, one_at_a_time, owned

HOLDER = """
import sys, time
from pathlib import Path
from tutelage.locks import owned
with owned(Path(sys.argv[1]), doing="a run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_a_second_process_hears_who_is_there_and_one_that_was_killed_holds_nobody_up(tmp_path, holder):
    who = f"by process {holder.pid} on {socket.gethostname()}, since"
    with pytest.raises(OutputError, match=f"run is in use: a run goes on there, {who}"):
        owned(tmp_path / "run", doing="a run").__enter__()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with owned(tmp_path / "run", doing="a run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / "run" / LOCK).exists()


def test_two_parts_of_one_process_are_kept_apart(tmp_path: Path):
    with owned(tmp_path, doing="a run"), pytest.raises(OutputError, match="in this very process"):
        owned(tmp_path, doing="a run").__enter__()
    with owned(tmp_path, doing="a run"):
        pass


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path):
    (tmp_path / "mine").write_text("my thesis")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="cannot write"):
        owned(tmp_path / "run", doing="a run").__enter__()
    assert (tmp_path / "mine").read_text() == "my thesis"


def test_who_waits_comes_in_turn(tmp_path: Path):
    inside, most = [], []

    def work():
        with one_at_a_time(tmp_path / "lock"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == [1] * 8
