"""Hostile files of ten kinds: none runs anything, writes outside its folder, or unpacks past its limit."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tutelage.files import seal

pytestmark = pytest.mark.slow

Words = list[Any]


class Runs:
    """A pickle that leaves a mark."""

    def __reduce__(self) -> Any:
        return os.system, ("touch RAN",)


def recipe(tiny: Path, **changes: Any) -> str:
    return yaml.safe_dump(yaml.safe_load(tiny.read_text()) | changes)


def recipes_that_name_code(tiny: Path, made: Path) -> Iterator[Words]:
    touch = {"command": "touch RAN"}
    for name in ("os:system", "subprocess:run", "posix:system", "tutelage.trust.code:importlib.os.system"):
        Path("r.yaml").write_text(recipe(tiny, student={"model": {name: touch}}))
        for verb in ("check", "show", "run", "label"):
            yield [verb, "r.yaml"]
    for place in ("task", "teacher"):
        Path("r.yaml").write_text(recipe(tiny, **{place: {"os:system": touch}}))
        yield ["check", "r.yaml"]
    loss = {"offline": {"matches": [{"loss": "os:system", "command": "touch RAN"}]}}
    stage = yaml.safe_load(tiny.read_text())["stages"][0]
    for scheme in (loss, {"os:system": touch}):
        Path("r.yaml").write_text(recipe(tiny, stages=[stage | {"scheme": scheme}]))
        yield ["check", "r.yaml"]
    predictor = {"predictor": {"model": {"subprocess:Popen": {"args": ["touch", "RAN"]}}}}
    Path("r.yaml").write_text(recipe(tiny, teacher=predictor))
    yield ["check", "r.yaml"]
    Path("r.py").write_text("import os\nos.system('touch RAN')\nrecipe = {}\n")
    yield ["check", "r.py"]
    yield ["show", "r.py"]


def folders_of_runs(tiny: Path, made: Path) -> Iterator[Words]:
    shutil.copytree(made / "run", "theirs")
    Path("theirs/SHA256SUMS").unlink()
    Path("theirs/recipe.yaml").write_text(
        recipe(tiny, student={"model": {"os:system": {"command": "touch RAN"}}})
    )
    Path("theirs/network.json").write_text(
        json.dumps({"built_by": {"os:system": {"command": "touch RAN"}}, "shapes": {}})
    )
    yield ["evaluate", "theirs", "--cpu"]
    yield ["export", "theirs", "--format", "safetensors"]
    yield ["compress", "theirs", "--change", "prune:share=0.3", "--cpu"]


def pickles(tiny: Path, made: Path) -> Iterator[Words]:
    shutil.copytree(made / "run", "theirs")
    for content in (pickle.dumps(Runs()), pickle.dumps({"a": Runs()}, protocol=2)):
        Path("theirs/student.safetensors").write_bytes(content)
        Path("theirs/SHA256SUMS").unlink(missing_ok=True)
        yield ["evaluate", "theirs", "--cpu"]
        Path("w.pt").write_bytes(content)
        yield ["evaluate", tiny, "--weights", "w.pt", "--cpu"]


def tags_in_yaml(tiny: Path, made: Path) -> Iterator[Words]:
    for tag in ("apply:os.system", "object/apply:os.system", "module:os", "name:os.system"):
        Path("r.yaml").write_text(f"task: !!python/{tag} ['touch RAN']\n")
        yield ["show", "r.yaml"]


def bombs_of_yaml(tiny: Path, made: Path) -> Iterator[Words]:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{n}: &{n} [{', '.join(['*' + o] * 10)}]" for o, n in zip("abcdefgh", "bcdefghi", strict=True)]
    for text in ("\n".join(lines), "[" * 5000, "{a: " * 5000, "- " * 5000, "a: &a [*a, *a]"):
        Path("r.yaml").write_text(text)
        yield ["show", "r.yaml"]


def _store(made: Path, change: Callable[[dict[str, Any]], None], kind: str = "packed") -> None:
    shutil.rmtree("theirs", ignore_errors=True)
    shutil.copytree(made / kind, "theirs")
    held = json.loads(Path("theirs/manifest.json").read_text())
    change(held)
    Path("theirs/manifest.json").write_text(json.dumps(seal(held)))


def names_in_a_store(tiny: Path, made: Path) -> Iterator[Words]:
    evil = gzip.compress(b"ssh-ed25519 AAAA stranger\n", mtime=0)

    def named(**changes: Any) -> Callable[[dict[str, Any]], None]:
        return lambda held: held["shards"][0].update(nbytes=len(evil), **changes)

    home = Path("outside").absolute()
    for changes in (
        {"name": "shards/keys.gz", "sha256": str(home)},
        {"name": str(home / "keys.gz"), "sha256": hashlib.sha256(evil).hexdigest()},
        {"name": "../outside/keys.gz", "sha256": hashlib.sha256(evil).hexdigest()},
        {"name": "shards/keys.gz", "sha256": "../../../../outside"},
    ):
        _store(made, named(**changes))
        Path("theirs/shards/keys.gz").write_bytes(evil)
        with zipfile.ZipFile("theirs.zip", "w") as packed:
            for path in Path("theirs").rglob("*.*"):
                packed.write(path, path.relative_to("theirs"))
        for where in ("theirs", f"zip://::{Path('theirs.zip').absolute()}"):
            yield ["run", tiny, "--cpu", "--quiet", "--answers", where, "--out", "new"]


def bombs_of_shards(tiny: Path, made: Path) -> Iterator[Words]:
    size = 400 << 20
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(squeeze.compress(bytes(1 << 20)) for _ in range(size >> 20)), squeeze.flush()])

    def change(held: dict[str, Any]) -> None:
        held["shards"][0].update(nbytes=len(bomb), sha256=hashlib.sha256(bomb).hexdigest())

    _store(made, change)
    name = json.loads(Path("theirs/manifest.json").read_text())["shards"][0]["name"]
    (Path("theirs") / name).write_bytes(bomb)
    yield ["run", tiny, "--cpu", "--quiet", "--answers", "theirs", "--out", "new"]


def ways_to_answers(tiny: Path, made: Path) -> Iterator[Words]:
    refs = {
        "version": 1,
        "gen": [{"key": "{{ cycler.__init__.__globals__.os.system('touch RAN') }}", "url": "x"}],
    }
    Path("refs.json").write_text(json.dumps({**refs, "refs": {}, "templates": {}}))
    where = Path("refs.json").absolute()
    for url in (
        f"reference::{where}",
        f"reference::file://{where}",
        f"simplecache::file://{where}",
        "dask://x",
    ):
        yield ["run", tiny, "--cpu", "--quiet", "--answers", url, "--out", "new"]
        Path("r.yaml").write_text(recipe(tiny, teacher={"stored": {"answers": url}}))
        yield ["check", "r.yaml"]


def planted_links(tiny: Path, made: Path) -> Iterator[Words]:
    thesis = Path("outside/thesis").absolute()
    run = ["run", tiny, "--cpu", "--quiet", "--out", "theirs", "--resume"]
    for name, words in (
        ("report.html", ["report", "theirs"]),
        ("export/.part.student.safetensors", ["export", "theirs", "--format", "safetensors", "--overwrite"]),
        (".part.results.json", run),
        ("results.json", run),
        (".lock", run),
        ("seed0/student/stage0/history.jsonl", run),
        ("run.json", run),
    ):
        shutil.rmtree("theirs", ignore_errors=True)
        shutil.copytree(made / "run", "theirs")
        path = Path("theirs", name)
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(thesis)
        yield words
    shutil.rmtree("theirs")
    shutil.copytree(made / "run", "theirs")
    Path("theirs/export").symlink_to(thesis.parent)
    yield ["export", "theirs", "--format", "safetensors"]
    shutil.rmtree("theirs")
    shutil.copytree(made / "plain", "theirs")
    shutil.rmtree("theirs/times", ignore_errors=True)
    Path("theirs/times").symlink_to(thesis.parent)
    yield ["label", tiny, "--cpu", "--quiet", "--out", "theirs"]


def names_with_escapes(tiny: Path, made: Path) -> Iterator[Words]:
    stage = yaml.safe_load(tiny.read_text())["stages"][0]
    for name in ("\x1b]0;owned\x07", "../../outside/arm", "/tmp/arm", "a\x1b[2Jb"):
        Path("r.yaml").write_text(recipe(tiny, also={name: {"stages": [stage]}}))
        yield ["run", "r.yaml", "--cpu", "--quiet", "--out", "new"]
    Path("r.yaml").write_text("\x1b]0;owned\x07: 1\n")
    yield ["show", "r.yaml"]
    Path("r.yaml").write_text(json.dumps({"\x1b[2Jseeds": 1}))
    yield ["show", "r.yaml"]


def headers_and_depths(tiny: Path, made: Path) -> Iterator[Words]:
    shutil.copytree(made / "run", "theirs")
    Path("theirs/SHA256SUMS").unlink()
    for header in (b"{}", b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}', b"[" * 5000):
        Path("theirs/student.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
        yield ["evaluate", "theirs", "--cpu"]
    Path("theirs/student.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    yield ["evaluate", "theirs", "--cpu"]
    Path("theirs/results.json").write_text("[" * 200_000 + "]" * 200_000)
    yield ["report", "theirs"]
    os.unlink("theirs/results.json")
    os.mkfifo("theirs/results.json")
    yield ["report", "theirs"]


KINDS = [
    recipes_that_name_code,
    folders_of_runs,
    pickles,
    tags_in_yaml,
    bombs_of_yaml,
    names_in_a_store,
    bombs_of_shards,
    ways_to_answers,
    planted_links,
    names_with_escapes,
    headers_and_depths,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_strangers_files_do_nothing(
    kind: Callable[[Path, Path], Iterator[Words]],
    tiny: Path,
    made: Path,
    asked: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    from tutelage.answers import Place

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Place.__init__, "__kwdefaults__", {"cache": tmp_path / "cache"})
    Path("outside").mkdir()
    Path("outside/thesis").write_text("my thesis")
    counts: Counter[str] = Counter()
    wrong = []
    for words in kind(tiny, made):
        done = asked(*words, limit=300)
        outside = sorted(path.name for path in Path("outside").iterdir())
        unpacked = sum(path.stat().st_size for path in Path("cache").rglob("*") if path.is_file())
        bad = [
            Path("RAN").exists() and "ran code",
            (outside != ["thesis"] or Path("outside/thesis").read_text() != "my thesis") and "wrote outside",
            unpacked > 1 << 20 and "unpacked past its limit",
            done.fault and done.fault,
            "\x1b" in done.err + done.out and "moved the cursor",
        ]
        counts["refused" if done.code else "taken, and did nothing"] += 1
        wrong += [(words, one) for one in bad if one]
        shutil.rmtree("new", ignore_errors=True)
    print(f"\nhostile files, {kind.__name__}: {dict(counts)}")
    assert not wrong, wrong
