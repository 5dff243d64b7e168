"""Bad input of four kinds, drawn by Hypothesis: an answer in words, and soon."""

from __future__ import annotations

import copy
import json
import resource
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tutelage.files import seal

pytestmark = pytest.mark.slow

_MEMORY = 2_000_000  # kB that this process may grow by

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(
        [
            "",
            "os:system",
            "../..",
            "/etc/passwd",
            "\x1b[2J",
            "[/x]",
            "a" * 5000,
            "1e999",
            "~",
            "{}",
            "学",
            "\ud800",
        ]
    ),
    st.text(max_size=12),
    st.lists(st.integers(-2, 3), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(-2, 3), max_size=2),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in plain data."""
    found = [path] if path else []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


def changed(tree: Any, path: tuple[Any, ...], kind: str, value: Any) -> Any:
    """Plain data with something set, taken out, or put beside."""
    tree = copy.deepcopy(tree)
    held = tree
    for part in path[:-1]:
        held = held[part]
    if kind == "out":
        del held[path[-1]]
    elif kind == "beside" and isinstance(held, dict):
        held[str(value)] = value
    else:
        held[path[-1]] = value
    return tree


class Tally:
    """What bad input came to; everything is tried before something is held against anybody."""

    def __init__(self, what: str) -> None:
        self.what, self.counts, self.wrong = what, Counter[str](), list[Any]()

    def note(self, words: Any, done: Any, *, source: Any = None, soon: float = 10.0) -> None:
        ours = done.code == 0 or (done.err.strip() != "" and "Traceback" not in done.err)
        outcome = "in words" if done.code else "still legal"
        if done.fault or not ours:
            outcome = "fault"
        elif done.code and done.seconds > soon:
            outcome = "late"
        self.counts[outcome] += 1
        if outcome in ("fault", "late"):
            self.wrong.append((words, source, outcome, round(done.seconds, 1), done.said[-600:]))

    def close(self, before: int) -> None:
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"\nbad input, {self.what}: {dict(self.counts)}, memory grew by {grown // 1000:,} MB")
        for each in self.wrong:
            print("   ", each)
        assert not self.wrong, f"{len(self.wrong)} of {sum(self.counts.values())}"
        assert grown < _MEMORY


def many(count: int) -> Any:
    return settings(
        max_examples=max(1, count),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture
def share(how_many: Callable[[str, int], int]) -> int:
    return how_many("INPUTS", 40) // 4


def test_recipes(tiny: Path, asked: Callable[..., Any], share: int, tmp_path: Path):
    tree, file, tally = yaml.safe_load(tiny.read_text()), tmp_path / "r.yaml", Tally("recipes")
    assert asked("check", tiny, "--cpu").code == 0  # what is imported once is nobody's fault
    before = memory()
    kinds = st.sampled_from(["set", "set", "out", "beside"])

    @many(share)
    @given(
        st.sampled_from(places(tree)), kinds, ODD, st.integers(0, 3), st.binary(max_size=4), st.integers(0)
    )
    def tried(path: Any, kind: str, value: Any, times: int, noise: bytes, at: int) -> None:
        text = yaml.safe_dump(changed(tree, path, kind, value), allow_unicode=False).encode(
            "utf-8", "replace"
        )
        if times == 0:
            at %= len(text)
            text = text[:at] + noise + text[at + len(noise) :]
        file.write_bytes(text)
        words = ["check", file, "--cpu"]
        tally.note(words, asked(*words, limit=300), source=text[-700:] if times == 0 else (path, kind, value))

    tried()
    tally.close(before)


def test_stores(tiny: Path, made: Path, asked: Callable[..., Any], share: int, tmp_path: Path):
    manifest, tally, before = (
        json.loads((made / "plain/manifest.json").read_text()),
        Tally("stores"),
        memory(),
    )
    shutil.copytree(made / "plain", tmp_path / "store")
    kinds = st.sampled_from(["set", "out", "beside"])

    @many(share)
    @given(st.sampled_from(places(manifest)), kinds, ODD, st.booleans())
    def tried(path: Any, kind: str, value: Any, sealed: bool) -> None:
        held = changed(manifest, path, kind, value)
        text = json.dumps(seal(held) if sealed else held)
        (tmp_path / "store/manifest.json").write_text(text)
        words = ["check", tiny, "--cpu", "--set", f"teacher={{stored: {{answers: {tmp_path / 'store'}}}}}"]
        tally.note(words, asked(*words, limit=300), source=(path, kind, value))

    tried()
    tally.close(before)


def test_checkpoints(tiny: Path, made: Path, asked: Callable[..., Any], share: int, tmp_path: Path):
    shutil.copytree(made / "run", tmp_path / "run")
    (tmp_path / "run/SHA256SUMS").unlink()
    file, tally, before = tmp_path / "run/student.safetensors", Tally("checkpoints"), memory()
    whole = file.read_bytes()

    @many(share)
    @given(st.integers(0, len(whole) - 1), st.integers(0, len(whole)), st.binary(min_size=1, max_size=9))
    def tried(at: int, length: int, noise: bytes) -> None:
        file.write_bytes((whole[:at] + noise + whole[at + len(noise) :])[: max(length, at)])
        words = ["evaluate", tmp_path / "run", "--cpu"]
        tally.note(words, asked(*words, limit=300), source=(at, length, noise))

    tried()
    tally.close(before)


OPTIONS = """
--set --seeds --out --answers --tracker --form --budget --layer --precision --engine --workers --shard-size
--trials --search --pruner --split --weights --format --output --change --allow --tokens --against --csv
--nonsense
"""


def test_command_lines(tiny: Path, made: Path, asked: Callable[..., Any], share: int, tmp_path: Path):
    tally, before = Tally("command lines"), memory()
    verbs = st.sampled_from(
        ["show", "check", "list", "evaluate", "export", "report", "compare", "label", "tune"]
    )
    sources = [
        str(tiny),
        "vision/digits",
        str(made / "run"),
        str(made),
        "nothing",
        "/",
        "/dev/null",
        "",
        "x.yaml",
    ]
    odd = [
        "",
        "-1",
        "0",
        "x",
        "a=b",
        "seeds=[",
        "stages.9.train=1",
        "task.data=/",
        "task={a: b}",
        "1e9",
        "../x",
    ]
    odd += ["os:system", "\x1b[2J", "[/x]", "nan", "student.model=3", "os:system=1", str(tiny), "/dev/full/x"]
    values = st.sampled_from(odd)
    pairs = st.lists(st.tuples(st.sampled_from(OPTIONS.split()), values), max_size=3)

    @many(share)
    @given(verbs, st.sampled_from(sources), pairs)
    def tried(verb: str, source: str, options: list[tuple[str, str]]) -> None:
        words = [verb, source, *(word for pair in options for word in pair)]
        if verb in ("label", "tune", "export") and "--out" not in words:
            words += ["--nonsense"]  # what would be legal, and long, is not what is asked for
        tally.note(words, asked(*words, limit=300), soon=20.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        tried()
    tally.close(before)
