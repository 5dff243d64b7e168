from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tutelage.engine import Runtime, Validation
from tutelage.engine.average import WeightAverage
from tutelage.engine.selection import Selection, Selections


def chosen(values, *, keep="best", higher=True, folder=None, decay=None):
    """Count a weight up by one before each look; the choice, and the weight after it was settled."""
    module = nn.ParameterDict({"w": nn.Parameter(torch.zeros(1))})
    modules, left = {"student": module}, iter(values)
    average = WeightAverage(modules, decay=decay) if decay else None
    validation = Validation(lambda: {"m": next(left), "other": 7.0}, "m", higher)
    runtime = Runtime(cpu=True, quiet=True)
    selection = Selection(
        modules, validation, average, keep=keep, file=folder and folder / "best.safetensors", runtime=runtime
    )
    for number, value in enumerate(values, 1):
        with torch.no_grad():
            module["w"] += 1
        if average is not None:
            average.update()
        measured = selection.look(number)
        assert measured["other"] == 7.0
        assert measured["m"] == pytest.approx(value, nan_ok=True)
    selection.settle()
    return selection.best, module["w"].item()


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("values", "higher", "step"),
    [([1, 3, 2], True, 2), ([3, 1, 1], False, 2), ([math.nan, 0, math.nan], True, 2), ([math.nan], True, 1)],
)
def test_the_best_weights_come_back(tmp_path, on_disk, values, higher, step):
    best, weight = chosen(values, higher=higher, folder=tmp_path if on_disk else None)
    assert best is not None
    assert (best["step"], weight) == (step, step)
    assert (tmp_path / "best.safetensors").exists() is on_disk


def test_the_last_weights_are_not_kept_aside(tmp_path):
    best, weight = chosen([3, 2, 1], keep="last", folder=tmp_path)
    assert (best, weight) == ({"step": 3, "value": 1.0}, 3.0)
    assert not list(tmp_path.iterdir())


def test_the_average_is_kept_in_place_of_the_weights():
    """Weights 1, 2 with decay 0.5: 0.5, then 1.25."""
    assert chosen([2, 1], decay=0.5)[1] == 0.5
    assert chosen([1, 2], decay=0.5)[1] == 1.25
    assert chosen([2, 1], decay=0.5, keep="last")[1] == 1.25


def test_without_validation_the_weights_stay():
    module = nn.Linear(1, 1)
    before = module.weight.item()
    selection = Selection(
        {"s": module}, None, None, keep="best", file=None, runtime=Runtime(cpu=True, quiet=True)
    )
    selection.settle()
    assert (selection.best, module.weight.item()) == (None, before)


@pytest.mark.parametrize(
    ("values", "waited"),
    [([], 0), ([1.0], 0), ([1, 3, 2], 1), ([3, 1, 3], 2), ([1, 2, 3], 0), ([math.nan, 1], 0)],
)
def test_how_long_nobody_got_better(values, waited):
    runtime = Runtime(cpu=True, quiet=True)
    validations = [Validation(dict, "m", student=name) for name in ("a", "b")]
    modules = {name: nn.Linear(1, 1) for name in ("a", "b")}
    several = Selections(modules, validations, None, keep="best", folder=None, runtime=runtime)
    one = Selections({"a": modules["a"]}, validations[:1], None, keep="best", folder=None, runtime=runtime)
    looks = [{"step": n, "validation": {"m": v}} for n, v in enumerate(values)]
    assert one.waited([{"step": 0, "terms": {}}, *looks]) == waited
    rising = [look | {"validations": {"a": look["validation"], "b": {"m": look["step"]}}} for look in looks]
    assert several.waited(rising) == 0
