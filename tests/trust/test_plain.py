from __future__ import annotations

import io
import time

import pytest
import yaml

from tutelage.errors import AnswersError, RecipeError
from tutelage.recipes import load
from tutelage.trust import UNPACKED, Unpacked, most_unpacked, parse_json, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "more than 100,000 values"),
        ("[" * 200 + "]" * 200, "deeper than 60"),
        ("{a: " * 200 + "1" + "}" * 200, "deeper than 60"),
        ("a: &a [*a]", "within what it names"),
        ("a: 1\nb: 2\na: 3\n", "the key 'a' came twice, in lines 1 and 3"),
        ("{x: {a: 1, 'a': 2}}", "'a' came twice"),
        ("x" * 2_000_001, "2,000,000 at most"),
        ("a: " + "9" * 5000, "cannot be read"),
        ("a: 2001-99-99", "cannot be read"),
        ("a: *b", "undefined alias"),
    ],
)
def test_what_no_recipe_holds_is_refused_at_once(text: str, said: str):
    clock = time.perf_counter()
    with pytest.raises(yaml.YAMLError, match=said):
        read_yaml(text)
    assert time.perf_counter() - clock < 20


def test_anchors_and_merges_are_still_read():
    text = "base: &b {lr: 1, wd: 2}\none: {<<: *b, lr: 3}\ntwo: {<<: *b}\nthree: {<<: [*b, {x: 1}], wd: 4}\n"
    held = read_yaml(text)
    assert held["one"] == {"lr": 3, "wd": 2}
    assert held["two"] == {"lr": 1, "wd": 2}
    assert held["three"] == {"lr": 1, "wd": 4, "x": 1}
    assert read_yaml("[on, no, 1e-3, true]") == ["on", "no", 0.001, True]


def test_a_recipe_says_which_key_came_twice(tmp_path):
    (tmp_path / "r.yaml").write_text("seeds: 1\ntask: x\nseeds: 7\n")
    with pytest.raises(RecipeError, match="'seeds' came twice, in lines 1 and 3"):
        load(str(tmp_path / "r.yaml"))


def test_json_that_is_too_deep_is_no_json():
    with pytest.raises(ValueError, match="too deep"):
        parse_json("[" * 100_000 + "]" * 100_000)


def test_what_unpacks_past_its_limit_is_given_up(monkeypatch):
    monkeypatch.setattr("tutelage.trust.limits._ALWAYS", 1000)
    assert (most_unpacked(1), most_unpacked(1000)) == (1000, UNPACKED * 1000)
    target = io.BytesIO()
    Unpacked("it", 5).copy(io.BytesIO(bytes(1000)), target)
    assert len(target.getvalue()) == 1000
    target = io.BytesIO()
    with pytest.raises(AnswersError, match="it unpacks to more than 1,000 bytes"):
        Unpacked("it", 5).copy(io.BytesIO(bytes(5_000_000)), target)
    assert len(target.getvalue()) <= 1000
