from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes import Recipe, load, name_of, names
from tutelage.recipes.load import parse


@pytest.fixture
def file(plain, tmp_path: Path) -> Path:
    path = tmp_path / "flowers.yaml"
    path.write_text(yaml.safe_dump(plain), encoding="utf-8")
    return path


def test_names_are_those_of_the_files_that_come_along():
    found = names()
    assert found == sorted(found)
    assert "vision/digits" in found
    assert all(isinstance(load(name), Recipe) for name in found)


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown recipe 'vision/digit'. Nearest: 'vision/digits'"):
        load("vision/digit")


def test_a_file_is_read_by_its_path_and_called_by_its_stem(file: Path, recipe: Recipe):
    assert load(str(file)) == recipe
    assert name_of(str(file)) == "flowers"
    assert name_of("vision/digits") == "vision/digits"


def test_a_path_without_a_file_is_said(tmp_path: Path):
    with pytest.raises(RecipeError, match="there is no recipe file"):
        load(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!python/object/apply:os.system ['echo no']", "would build an object"),
        ("task: !!python/name:os.system", "would build an object"),
        ("task: [", "is not YAML"),
        ("", "NoneType"),
        ("- task", "list"),
        ("just words", "str"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        load(str(path))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read as text"):
        load(str(path))


@pytest.mark.parametrize("typed", [False, True])
def test_a_python_file_gives_a_mapping_or_a_recipe(plain, recipe: Recipe, tmp_path: Path, typed: bool):
    path = tmp_path / "flowers.py"
    made = "Recipe.model_validate(plain)" if typed else "plain"
    path.write_text(f"from tutelage.recipes import Recipe\nplain = {plain!r}\nrecipe = {made}\n")
    assert load(str(path)) == recipe
    assert load(str(path), changes=["seeds=7", "student.model.widths=[5]"]).seeds == 7


def test_a_python_file_without_a_recipe_is_said(tmp_path: Path):
    path = tmp_path / "empty.py"
    path.write_text("")
    with pytest.raises(RecipeError, match="defines no `recipe`"):
        load(str(path))


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("seeds=7", lambda r: r.seeds == 7),
        ("stages.0.train.epochs=9", lambda r: r.stages[0].train.epochs == 9),
        ("student.model.widths=[5, 6]", lambda r: r.student.model.settings["widths"] == [5, 6]),
        ("student.model.mlp.widths=[5]", lambda r: r.student.model.settings == {"widths": [5]}),
        ("student.model={mlp: {widths: [2]}}", lambda r: r.student.model.settings == {"widths": [2]}),
        ("teacher.train.epochs=4", lambda r: r.teacher.settings["train"]["epochs"] == 4),
        ("teacher.frozen.train.epochs=4", lambda r: r.teacher.settings["train"]["epochs"] == 4),
        ("task.data=/somewhere", lambda r: r.task.settings["data"] == "/somewhere"),
        (
            "stages.0.scheme.matches.0.temperature=8",
            lambda r: r.stages[0].scheme.settings["matches"][0]["temperature"] == 8,
        ),
        (
            "stages.0.optimizers.student.sgd.momentum=0.9",
            lambda r: r.stages[0].optimizers["student"].options["momentum"] == 0.9,
        ),
        ("transfer.labelled=0.5", lambda r: r.transfer.labelled == 0.5),
        ("stages.0.train.augment.jitter=2", lambda r: r.stages[0].train.augment == {"jitter": 2}),
        ("control=false", lambda r: r.control is False),
        ("control.train.epochs=2", lambda r: r.control.train == {"epochs": 2}),
        ("about=a = b", lambda r: r.about == "a = b"),
    ],
)
def test_a_value_is_set_by_its_path(file: Path, change: str, read):
    assert read(load(str(file), changes=[change]))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-3", 0.001),
        ("-2E+4", -20000.0),
        ("1.5e3", 1500.0),
        ("10", 10),
        ("0.5", 0.5),
        ("on", "on"),
        ("no", "no"),
        ("'true'", "true"),
        ("false", False),
        ("True", True),
        ("e3", "e3"),
    ],
)
def test_words_and_numbers_are_what_they_look_like(file: Path, written: str, read):
    found = load(str(file), changes=[f"tuning.note={written}"]).tuning["note"]
    assert (found, type(found)) == (read, type(read))


def test_later_changes_win(file: Path):
    assert load(str(file), changes=["seeds=4", "seeds=5"]).seeds == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("seeds", "expected key=value"),
        ("=3", "expected key=value"),
        ("seeds=[", "is not YAML"),
        ("seedz=3", "unknown key 'seedz'. Nearest: 'seeds'"),
        ("studnet.model=mlp", "'studnet'. Nearest: 'student'"),
        ("stages.0.trian.epochs=3", "'trian'. Nearest: 'train'"),
        ("stages.1.train.epochs=3", "'1' is no number of a list of 1"),
        ("stages.last.train.epochs=3", "'last' is no number of a list of 1"),
        ("seeds.more=3", "'seeds' is 2, which has no key 'more'"),
        ("seeds.much.more=3", "'seeds' is 2, which has no key 'much'"),
        ("stages.0.optimizers.student.sdg.lr=1", "'sdg'. Nearest: 'sgd'"),
    ],
)
def test_a_change_that_cannot_be_made_says_why(file: Path, change: str, said: str):
    with pytest.raises((RecipeError, UnknownName), match=said.replace("[", r"\[")):
        load(str(file), changes=[change])


def test_settings_of_a_bare_name_are_set_as_a_whole(plain, tmp_path: Path):
    plain["stages"][0]["scheme"] = "alone"
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump(plain))
    with pytest.raises(RecipeError, match="set scheme as a whole"):
        load(str(path), changes=["stages.0.scheme.matches=[]"])


def test_a_parsed_recipe_passes_through(recipe: Recipe):
    assert parse(recipe) is recipe


def test_a_change_is_made_at_one_of_the_places_of_an_anchor():
    changed = load("vision/mnist_noisy_student", changes=["stages.1.train.steps=5"])
    assert [stage.train.steps for stage in changed.stages] == [600, 5, 600]
