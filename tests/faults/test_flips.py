"""Flipped bytes, in every kind of file that we write: named, or without effect, and never used in silence."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

_TIMES = re.compile(r"second|latency|energy|memory|date|again|out$|threads|checksum|pace|advice_on", re.I)


def told(value: Any) -> Any:
    """Results without what a clock or a place decides."""
    if isinstance(value, dict):
        return {key: told(held) for key, held in value.items() if not _TIMES.search(key)}
    if isinstance(value, list):
        return [told(held) for held in value]
    return value


def readers(made: Path, tiny: Path) -> dict[str, tuple[str, list[Any]]]:
    """Kind of file -> its path in what was made, and the command that reads it."""
    run = ["run", tiny, "--cpu", "--quiet", "--out", "RUN", "--resume", "--json"]
    stored = ["run", tiny, "--cpu", "--quiet", "--out", "NEW", "--json", "--answers"]
    words = ["run", tiny.with_name("words.yaml"), "--cpu", "--quiet", "--out", "NEW", "--json", "--set"]
    words += ["task.data.train=TEXT"]
    stopped = ["run", tiny, "--cpu", "--quiet", "--out", "STOPPED", "--resume", "--json"]
    tune = ["tune", tiny, "--cpu", "--quiet", "--trials", "2", "--finalists", "1", "--seeds", "1", "--json"]
    tune += ["--out", "TUNED", "--resume"]
    evaluate, report = ["evaluate", "RUN", "--cpu", "--json"], ["report", "RUN", "--json"]
    arm = "run/seed0/student"
    checkpoint = min(made.glob("stopped/seed0/**/checkpoint.safetensors"))
    return {
        "results": ("run/results.json", report),
        "details": ("run/details.json", report),
        "mark of a run": ("run/run.json", run),
        "recipe of a run": ("run/recipe.yaml", evaluate),
        "student": ("run/student.safetensors", evaluate),
        "beside the student": ("run/network.json", evaluate),
        "checksums": ("run/SHA256SUMS", report),
        "weights of an arm": (f"{arm}/student.safetensors", run),
        "weights of a stage": (f"{arm}/stage0/student.safetensors", run),
        "record of a stage": (f"{arm}/stage0/fitted.json", run),
        "record of an arm": (f"{arm}/trained.json", run),
        "best weights": (f"{arm}/stage0/best.safetensors", run),
        "history": (f"{arm}/stage0/history.jsonl", run),
        "teacher": ("run/teacher/student.safetensors", run),
        "scores": ("run/scores/student.safetensors", ["compare", "RUN", "OTHER", "--json"]),
        "environment": ("run/environment.json", ["compare", "RUN", "OTHER", "--json"]),
        "manifest": ("plain/manifest.json", [*stored, "PLAIN"]),
        "about answers": ("plain/about.json", [*stored, "PLAIN"]),
        "shard": ("plain/shards/000000.safetensors", [*stored, "PLAIN"]),
        "checkpoint": (checkpoint.relative_to(made).as_posix(), stopped),
        "mark of a tuning": ("tuned/tune.json", tune),
        "journal of a tuning": ("tuned/journal.log", tune),
        "written text": ("text/shards/000003.parquet", words),
        "manifest of text": ("text/manifest.json", words),
        "packed shard": ("packed/shards/000000.safetensors.gz", [*stored, "PACKED"]),
    }


def test_no_flipped_byte_is_used_in_silence(
    made: Path, tiny: Path, asked: Callable[..., Any], how_many: Callable[[str, int], int], tmp_path: Path
):
    draw, count = random.Random(0), how_many("FLIPS", 20)
    kinds = readers(made, tiny)
    counts: Counter[tuple[str, str]] = Counter()
    wrong, usual = [], {}
    for number in range(-len(kinds), count):  # each is read once as it is
        kind = list(kinds)[number % len(kinds)]
        file, words = kinds[kind]
        place = tmp_path / f"{number}"
        shutil.copytree(made, place)
        if not (place / file).exists():
            counts[kind, "not there"] += 1
            continue
        at = bit = None
        if number >= 0:
            content = bytearray((place / file).read_bytes())
            at, bit = draw.randrange(len(content)), 1 << draw.randrange(8)
            content[at] ^= bit
            (place / file).write_bytes(bytes(content))
        names = {"RUN": "run", "OTHER": "other", "PLAIN": "plain", "PACKED": "packed", "NEW": "new"}
        names |= {"TEXT": "text", "STOPPED": "stopped", "TUNED": "tuned"}
        done = asked(*(_placed(word, place, names) for word in words))
        found = told(json.loads(done.out)) if done.code == 0 and not done.fault else None
        if number < 0:
            assert found is not None, (kind, done)
            usual[kind] = _without(found, place)
            continue
        if done.fault:
            outcome = "traceback"
        elif done.code:
            outcome = "named" if Path(file).name.split(".")[0] in done.said else "refused, and not named"
        else:
            outcome = "no effect" if _without(found, place) == usual[kind] else "used in silence"
        counts[kind, outcome] += 1
        if outcome in ("traceback", "used in silence"):
            wrong.append((kind, outcome, at, bit, done.said[-400:]))
        shutil.rmtree(place)
    total = Counter(outcome for (_, outcome), n in counts.items() for _ in range(n))
    print("\nflipped bytes:", dict(total))
    for kind in kinds:
        print(f"  {kind}: { {outcome: n for (k, outcome), n in counts.items() if k == kind} }")
    assert not wrong, wrong


def _without(found: Any, place: Path) -> str:
    return json.dumps(found, sort_keys=True).replace(str(place), "")


def _placed(word: Any, place: Path, names: dict[str, str]) -> Any:
    """A word of a command, with the folder that a name in capitals stands for."""
    before, equals, name = str(word).rpartition("=")
    return f"{before}{equals}{place / names[name]}" if name in names else word
