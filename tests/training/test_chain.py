"""A teacher, an assistant and a student: one network of an arm teaches the next."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tutelage.engine import Runtime
from tutelage.errors import Interrupted
from tutelage.recipes import build, load
from tutelage.recipes.load import parse
from tutelage.teachers import Ensemble
from tutelage.training import Classroom, train_arm, train_teacher
from tutelage.training.walk import walk

sys.path.insert(0, str(Path(__file__).parents[1] / "schemes"))
import itertools

from carrying import same_in_parts_and_together

ADAM = {"student": {"adamw": {"lr": 0.01}}}
TRAIN = {"epochs": 2, "batch_size": 32, "keep": "last", "checkpoint_every": 0}
RECIPE = {
    "task": {"tabular.classification": {"data": "sklearn.iris", "validation": 30, "test": 30}},
    "teacher": {"frozen": {"model": {"mlp": {"widths": [32]}}, "train": TRAIN, "optimizers": ADAM}},
    "student": {"model": {"mlp": {"widths": [2]}}},
    "assistants": {"count": 2, "by": "width", "guided": "all", "drop": 1},
    "stages": [
        {
            "scheme": {"offline": {"matches": [{"loss": "response.SoftTarget", "temperature": 2.0}]}},
            "optimizers": ADAM,
            "train": TRAIN,
        }
    ],
}
MIXED = {**RECIPE, "stages": [{**RECIPE["stages"][0], "train": {**TRAIN, "mixup": 1.0}}]}


class StopAt(Runtime):
    def __init__(self, at: int) -> None:
        super().__init__(cpu=True, quiet=True)
        self.left = at

    @property
    def stop_asked(self) -> bool:
        self.left -= 1
        return self.left == 0


def trained(recipe, folder: Path, runtime: Runtime | None = None):
    study, runtime = build(parse(recipe), "chain"), runtime or Runtime(cpu=True, quiet=True)
    taught = train_teacher(study, folder, Runtime(cpu=True, quiet=True))
    classroom = Classroom(study, [one.network for one in taught], runtime)
    asked = partial(classroom.teacher, study.first)
    return train_arm(
        study.first, study.problem, runtime, folder / "arm", seed=0, teacher=asked, label="chain"
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, trained(RECIPE, folder)


def test_each_stage_trains_its_own_network_and_leaves_the_others(whole):
    folder, done = whole
    kept = [
        {name: load_file(folder / "arm" / f"stage{n}" / f"{name}.safetensors") for name in done.networks}
        for n in range(3)
    ]
    moved = [
        {
            name
            for name in done.networks
            if any(not torch.equal(a, after[name][k]) for k, a in before[name].items())
        }
        for before, after in itertools.pairwise(kept)
    ]
    assert moved == [{"assistant2"}, {"student"}]
    assert set(done.validation) <= set(done.networks)
    assert done.steps == {0: 6, 1: 6, 2: 6}


def test_the_validation_metric_is_noted_by_the_name_in_the_arm(tmp_path):
    best = {**RECIPE, "stages": [{**RECIPE["stages"][0], "train": {**TRAIN, "keep": "best"}}]}
    assert set(trained(best, tmp_path).validation) == {"student", "assistant1", "assistant2"}


def test_the_teachers_are_the_networks_as_the_stages_before_left_them():
    study, seen = build(parse(RECIPE), "chain"), []

    class Looks:
        def finished(self, number, state):
            return False

        def train(self, ready):
            seen.append((ready.number, ready.scheme.teacher, dict(ready.networks)))
            with torch.no_grad():
                ready.networks["student"].head.bias.fill_(float(ready.number))

        def left(self, number, state):
            pass

    teacher = study.plan.finish([build_one() for build_one in study.plan.arms[0].networks.values()])
    walk(
        study.first,
        study.problem,
        Runtime(cpu=True, quiet=True),
        Looks(),
        seed=4,
        teacher=lambda stage: teacher,
    )
    (_, first, _), (_, second, _), (number, last, networks) = seen
    assert number == 2
    assert first is teacher
    assert isinstance(second, Ensemble)
    assert next(iter(networks)) == "student"
    assert isinstance(last, Ensemble)
    assert (last.drop, last.seed, last.temperature) == (1, 4, 2.0)
    assert [float(member.network.head.bias[0]) for member in list(last.members)[1:]] == [0.0, 1.0]


@pytest.mark.parametrize("recipe", [RECIPE, MIXED], ids=["chain", "mixed"])
@pytest.mark.slow
def test_a_chain_that_was_stopped_goes_on_where_it_was(recipe, whole, tmp_path):
    expected = whole[1] if recipe is RECIPE else trained(recipe, tmp_path / "whole")
    for at in (1, 4):
        with pytest.raises(Interrupted):
            trained(recipe, tmp_path / "parts", StopAt(at))
    found = trained(recipe, tmp_path / "parts")
    for name, network in expected.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, found.networks[name].state_dict()[key]), (name, key)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [RECIPE, MIXED], ids=["chain", "mixed"])
def test_parts_and_processes_leave_what_one_batch_leaves(recipe, tmp_path):
    file = tmp_path / "chain.yaml"
    file.write_text(yaml.safe_dump(recipe))
    assert load(str(file)).assistants is not None
    same_in_parts_and_together(str(file), [], tmp_path / "runs")
