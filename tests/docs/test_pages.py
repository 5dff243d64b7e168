"""What README, CONTRIBUTING, ARCHITECTURE and the guide show: it runs, it exists, it is complete."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
import yaml

from tutelage import runs
from tutelage.cli import app
from tutelage.engine import TrainSettings
from tutelage.recipes import build, load, names
from tutelage.recipes.load import parse
from tutelage.recipes.spec import ArmSpec, Recipe, TransferSpec
from tutelage.recipes.stage_spec import MatchSpec, TrainSpec
from tutelage.recipes.teachers import SPECS

ROOT = Path(__file__).resolve().parents[2]
README, CONTRIBUTING, ARCHITECTURE = (
    ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "ARCHITECTURE")
)
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
RECIPES = ROOT / "docs" / "guide" / "recipes.md"

_BLOCK = re.compile(
    r"^(?P<left_out><!-- not run -->\n)?"
    r'```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)

each_page = pytest.mark.parametrize(
    "page", [README, CONTRIBUTING, *GUIDE], ids=lambda page: page.relative_to(ROOT).as_posix()
)


@dataclass(frozen=True)
class Block:
    code: str
    line: int  # where the code begins on its page, from 1
    title: str | None
    runs: bool


def blocks(page: Path, language: str) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in _BLOCK.finditer(text):
        if found["language"] == language:
            line = text.count("\n", 0, found.start("code")) + 1
            yield Block(found["code"], line, found["title"], found["left_out"] is None)


# ----------------------------------------------------------------------------------------------- Python runs


def test_every_fence_is_read():
    for page in (README, CONTRIBUTING, ARCHITECTURE, *GUIDE):
        text = page.read_text("utf-8")
        assert text.count("```") == 2 * len(_BLOCK.findall(text)), page


SLOW = {README.stem, "answers", "getting-started", "text", "tuning"}  # they train what they show


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page.stem in SLOW else []) for page in (README, *GUIDE)],
    ids=lambda page: page.stem,
)
def test_python_blocks_run_in_order(page, tmp_path, monkeypatch):
    """All blocks of a page share one namespace, as a reader types them one after the other."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "page"}
    for block in blocks(page, "python"):
        if block.runs:
            padded = "\n" * (block.line - 1) + block.code  # errors name the line of the page
            exec(compile(padded, str(page), "exec"), space)


def test_the_site_opens_with_the_example_of_the_readme():
    (example,) = blocks(README, "python")
    assert "tl.distill(" in example.code
    assert '--8<-- "README.md:example"' in (ROOT / "docs" / "index.md").read_text("utf-8")
    start, end = (f"<!-- --8<-- [{edge}:example] -->" for edge in ("start", "end"))
    between = README.read_text("utf-8").partition(start)[2].partition(end)[0]
    assert example.code in between


# ------------------------------------------------------------------------------------------ commands exist


def commands(page: Path) -> Iterator[list[str]]:
    for block in blocks(page, "console"):
        for line in block.code.splitlines():
            words = shlex.split(line)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            yield words


@each_page
def test_commands_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in targets, words
        elif "tutelage" in words[: words.index("--out") if "--out" in words else None]:
            check_verb(words[words.index("tutelage") + 1 :])
        else:
            assert words[:2] == ["pip", "install"] or "sha256sum" in words, words


def check_verb(words: list[str]) -> None:
    verbs = typer.main.get_command(app).commands
    assert words[0] in verbs, words
    legal = {option for each in verbs[words[0]].params for option in each.opts}
    assert {word for word in words if word.startswith("--")} <= legal, words
    changes = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    if len(words) > 1 and words[1] in names():
        load(words[1], changes=changes)
    elif words[0] in ("check", "run"):
        assert words[1].endswith(".yaml"), words


def test_every_verb_is_explained():
    explained = re.findall(r"^\| `(\w+)` \|", RECIPES.read_text("utf-8"), re.MULTILINE)
    assert set(typer.main.get_command(app).commands) <= set(explained)


def test_every_target_says_what_it_does():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    said = re.findall(r"^([a-z-]+):[^#\n]*## \S", makefile, re.MULTILINE)
    assert sorted(phony.split()) == sorted(said)


# ------------------------------------------------------------------------------------- recipes are complete


def test_every_key_of_a_recipe_is_explained():
    words = set(re.findall(r"`(\w+)`", RECIPES.read_text("utf-8")))
    specs = [Recipe, TrainSpec, TrainSettings, TransferSpec, ArmSpec, *SPECS.values()]
    keys = {key for spec in specs for key in spec.model_fields} | set(MatchSpec.model_fields)
    assert keys - words == set()


def test_the_recipe_of_the_guide_is_one():
    whole = [block.code for block in blocks(RECIPES, "yaml") if "stages:" in block.code]
    assert whole
    for code in whole:
        assert set(build(parse(yaml.safe_load(code)), "guide").arms) == {"control", "student"}


# --------------------------------------------------------------------------------------- the worked example


@pytest.fixture
def worked(tmp_path, monkeypatch) -> Path:
    """The titled blocks of CONTRIBUTING as files, in a folder that Python imports from."""
    for language in ("python", "yaml"):
        for block in blocks(CONTRIBUTING, language):
            assert block.title, block.line
            (tmp_path / block.title).write_text(block.code, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_methods", raising=False)
    yield tmp_path
    sys.modules.pop("my_methods", None)


@pytest.mark.slow
def test_the_worked_example_trains(worked):
    (recipe,) = worked.glob("*.yaml")
    study = build(
        load(str(recipe), changes=["stages.0.train.epochs=2", "teacher.train.epochs=2"]),
        "worked",
        trust=["my_methods"],
    )
    done = runs.run(study, worked / "run", quiet=True)
    assert done is not None
    assert done.verdict.word in ("better", "worse", "not shown")
    history = (worked / "run" / "seed0" / "student" / "stage0" / "history.jsonl").read_text("utf-8")
    assert "HellingerTarget" in history


def test_the_worked_example_keeps_the_form(worked):
    module = importlib.import_module("my_methods")
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed
    doc = module.HellingerTarget.__doc__
    assert all(f"{heading}:" in doc for heading in ("Args", "Shapes", "Raises", "Source", "Example"))


# ------------------------------------------------------------------------------------------ what is named is


def test_the_six_files_are_there():
    (paragraph,) = re.findall(
        r"read these six files in order: (.+?)\. \[", README.read_text("utf-8"), re.DOTALL
    )
    files = re.findall(r"`([^`]+)`", paragraph)
    assert len(files) == 6
    assert all((ROOT / "src" / "tutelage" / file).is_file() for file in files)


def test_the_tree_and_the_package_agree():
    (tree,) = [block.code for block in blocks(README, "text") if block.code.startswith("src/tutelage/")]
    package = ROOT / "src" / "tutelage"
    named = {word for line in tree.splitlines()[1:] for word in line.split("   ")[0].split()}
    assert all((package / word).exists() for word in named)
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert rooms <= set(re.findall(r"\w+/", tree))


def test_the_layers_are_those_of_the_contract():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = next(c for c in pyproject["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    wanted = "\n".join(layer.replace("tutelage.", "") for layer in contract["layers"]) + "\n"
    text = ARCHITECTURE.read_text("utf-8")
    assert f"<!-- layers -->\n```text\n{wanted}```" in text
