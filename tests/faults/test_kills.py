"""Kills: a command that is killed at any moment, and made again, comes out as if nothing had been."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

pytestmark = pytest.mark.slow

Words = list[Any]

_ALIKE = (".safetensors", ".gz", ".parquet", ".yaml")
_UNLIKE = re.compile(r"second|latency|energy|memory|date|time|times/|\.lock|checkpoint|journal")


def commands(tiny: Path, made: Path, writing: Words, out: Path) -> dict[str, tuple[Words, Words]]:
    """Verb -> what is killed, and what goes on."""
    run = ["run", tiny, "--cpu", "--quiet", "--out", out]
    label = ["label", tiny, "--cpu", "--quiet", "--compress", "--shard-size", "1KB", "--out", out]
    tune = [
        "tune",
        tiny,
        "--cpu",
        "--quiet",
        "--trials",
        "2",
        "--finalists",
        "1",
        "--seeds",
        "1",
        "--out",
        out,
    ]
    compare = ["compare", made / "run", made / "other", "--out", out / "page.html", "--csv", out / "page.csv"]
    target = out / "student.safetensors"
    export = ["export", made / "run", "--format", "safetensors", "--output", target, "--overwrite"]
    return {
        "run": (run, [*run, "--resume"]),
        "label": (label, label),
        "write": ([*writing, "--out", out],) * 2,
        "tune": (tune, [*tune, "--resume"]),
        "compare": (compare, compare),
        "export": (export, export),
    }


def _child(words: Words) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = CliRunner().invoke(__import__("tutelage.cli").cli.app, [str(word) for word in words])
    Path(os.environ["FAULT_LOG"]).write_text(found.stderr + repr(found.exception))
    os._exit(found.exit_code)


def call(words: Words, after: float | None = None, how: int = signal.SIGKILL) -> int | None:
    """A command in a child of this process, which has imported all; its status, None where it was hit."""
    child = multiprocessing.get_context("fork").Process(target=_child, args=(words,))
    child.start()
    child.join(after)
    hit = child.exitcode is None
    if hit:
        assert child.pid is not None
        os.kill(child.pid, how)
    child.join()
    return None if hit else child.exitcode


def came_to(out: Path) -> dict[str, str]:
    """What a command wrote, by file, without what a clock decides."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not _UNLIKE.search(name):
            if path.name == "recipe.yaml":  # a tuning's says how long it took
                found[name] = _told(yaml.safe_load(path.read_text()), out)
            elif name.endswith(_ALIKE):
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            elif path.name in ("results.json", "trials.json", "fitted.json"):
                found[name] = _told(json.loads(path.read_text()), out)
            elif path.name.startswith(".part."):
                found[name] = "left behind"
    return found


def _told(value: Any, out: Path) -> str:
    def plain(held: Any) -> Any:
        if isinstance(held, dict):
            return {
                k: plain(v)
                for k, v in held.items()
                if not _UNLIKE.search(k) and k not in ("checksum", "cost")
            }
        return [plain(each) for each in held] if isinstance(held, list) else held

    return json.dumps(plain(value), sort_keys=True).replace(str(out), "")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_what_was_killed_comes_out_the_same(
    how: signal.Signals,
    tiny: Path,
    made: Path,
    writing: Words,
    how_many: Callable[[str, int], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("FAULT_LOG", str(tmp_path / "log"))
    draw, kills = random.Random(int(how)), how_many("KILLS", 10)
    kills = kills if how is signal.SIGKILL else max(2, kills // 5)
    wanted, took = {}, {}
    out = tmp_path / "out"
    for verb, (first, _) in commands(tiny, made, writing, out).items():
        out.mkdir()
        call(first)  # what only the first of its kind takes the time for
        shutil.rmtree(out)
        out.mkdir()
        clock = time.perf_counter()
        assert call(first) == 0, (verb, (tmp_path / "log").read_text())
        took[verb], wanted[verb] = time.perf_counter() - clock, came_to(out)
        shutil.rmtree(out)
    counts: Counter[str] = Counter()
    wrong, hits, number = [], 0, 0
    while hits < kills:
        verb = list(wanted)[number % len(wanted)]
        number += 1
        first, again = commands(tiny, made, writing, out)[verb]
        out.mkdir(parents=True)
        status, words, mine = None, first, 0
        while status is None:
            after = draw.uniform(0, took[verb]) if mine < 3 and hits < kills else None
            status = call(words, after, how)
            hits, mine = hits + (status is None), mine + (status is None)
            begun = any((out / mark).exists() for mark in ("run.json", "tune.json"))
            words = again if begun else first
        alike = status == 0 and came_to(out) == wanted[verb]
        counts[f"{verb}, {'alike' if alike else 'OTHERWISE'}"] += max(mine, 0)
        if not alike:
            now = came_to(out)
            differ = [key for key in {*now, *wanted[verb]} if now.get(key) != wanted[verb].get(key)]
            wrong.append((verb, status, differ, (tmp_path / "log").read_text()[-500:]))
        shutil.rmtree(out)
    print(f"\n{how.name}: {hits} hits; {dict(counts)}")
    assert not wrong, wrong
