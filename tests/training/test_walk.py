"""Networks go by name from stage to stage; what a later stage reads lies in a file."""

from __future__ import annotations

from functools import partial, wraps
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tutelage.engine import Runtime
from tutelage.errors import RecipeError, UnknownName
from tutelage.files import read_json
from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.recipes.rebuild import load, rebuild
from tutelage.runs import run
from tutelage.schemes import Offline
from tutelage.studies import Study, fresh_network, fresh_networks
from tutelage.studies.compared import differences
from tutelage.tasks.networks import MeanOfNetworks
from tutelage.teachers import Frozen
from tutelage.training import Classroom, train_arm

SGD = {"sgd": {"lr": 0.1}}
SOFT = {"loss": "response.SoftTarget", "temperature": 2}
HARD = {"loss": "response.HardLabel"}


def stage(scheme="alone", *matches, turns=("student",), **changes):
    held = {"optimizers": dict.fromkeys(turns, SGD), "train": {"steps": 4, "batch_size": 16, "keep": "last"}}
    named = {scheme: {"matches": list(matches)}} if matches else scheme
    return held | {"scheme": named} | changes


def study(*stages, **changes) -> Study:
    tree = {
        "task": {"tabular.classification": {"data": "sklearn.iris", "validation": 30, "test": 30}},
        "student": {"model": {"mlp": {"widths": [4]}}},
        "stages": list(stages),
        "seeds": 3,
    }
    return build(parse(tree | changes), "flowers")


def walked(held: Study, folder: Path, *, keep=()):
    runtime = Runtime(cpu=True, quiet=True)
    arm = held.arms["student"]
    asked = partial(Classroom(held, [], runtime).teacher, arm) if arm.needs_teacher else None
    return train_arm(arm, held.problem, runtime, folder, seed=0, teacher=asked, label="student", keep=keep)


def values(module: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_peers_go_on_in_the_next_stage(tmp_path):
    """A peer that restarted in the second stage would have the weights of one stage alone."""
    peers = ("student", "peer")
    mutual = stage("mutual", SOFT, HARD, turns=peers)
    both = {"networks": {"peer": {"model": {"mlp": {"widths": [6]}}}}}
    first = walked(study(mutual, **both), tmp_path / "one")
    done = walked(study(mutual, mutual, **both), tmp_path / "two", keep={("peer", 0)})
    assert same(values(done.of("peer", 0)), values(first.of("peer")))
    assert not same(values(done.of("peer")), values(first.of("peer")))
    assert done.steps == {0: 4, 1: 4}


def test_a_stage_may_begin_afresh(tmp_path):
    once = walked(study(stage()), tmp_path / "once")
    again = walked(study(stage(), stage(afresh=["student"])), tmp_path / "again", keep={("student", 0)})
    assert same(values(again.of("student", 0)), values(once.network))
    drawn = study(stage()).arms["student"]
    assert again.network.state_dict().keys() == once.network.state_dict().keys()
    assert drawn.networks.keys() == {"student"}


def test_each_number_is_another_draw_of_the_seed(tmp_path):
    held = study(stage(afresh={"student": 0}), stage(afresh={"student": 1}), stage(afresh={"student": 2}))
    arm = held.arms["student"]
    drawn = [values(fresh_network(arm, "student", 0, draw)) for draw in range(3)]
    assert same(drawn[0], values(fresh_networks(arm, 0)["student"]))
    assert not any(same(one, other) for one, other in ((drawn[0], drawn[1]), (drawn[1], drawn[2])))
    assert same(drawn[1], values(fresh_network(arm, "student", 0, 1)))
    assert not same(drawn[1], values(fresh_network(arm, "student", 1, 0)))
    done = walked(held, tmp_path / "run", keep={("student", 0), ("student", 1)})
    only = walked(study(stage(), stage(), stage(afresh={"student": 2})), tmp_path / "other")
    assert same(values(done.network), values(only.network))


def generations(**changes) -> Study:
    again = stage("offline", SOFT, teacher="before", afresh={"student": 1})
    outcomes = {
        "first": {"stage": 1},
        "taught by nobody": {"stage": 0},
        "second": {"stage": 2},
        "both": {"members": ["first", "second"]},
    }
    held = {"outcomes": outcomes, "compare": [["both", "second"], ["first", "taught by nobody"]]}
    return study(stage(), again, again | {"afresh": {"student": 2}}, **(held | changes))


def test_an_outcome_may_be_the_mean_of_others():
    held = generations()
    both = held.outcomes["both"]
    assert (both.network, both.stage, list(both.parts)) == ("student", 2, [("student", 1), ("student", 2)])
    assert both.against == "both alone"
    assert held.outcomes["both alone"].members == both.members
    assert held.compare == [("both", "second"), ("first", "taught by nobody")]
    assert differences(held, "both", "second") == [
        "networks: the both is 2 that answer together, the second is 1"
    ]


def test_an_outcome_that_nobody_taught_has_no_control_but_itself():
    held = generations()
    assert held.outcomes["taught by nobody"].against is None
    assert "taught by nobody alone" not in held.outcomes
    assert held.outcomes["first alone"].stage == 1


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"outcomes": {"one": {"members": ["two"]}}}, UnknownName, "member of the outcome one"),
        ({"outcomes": {"one": {"stage": 1, "members": ["one"]}}}, RecipeError, "leave one of them out"),
        ({"compare": [["first", "nobody"]]}, UnknownName, "outcome to compare"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, error, said):
    with pytest.raises(error, match=said):
        generations(**changes)


@pytest.mark.slow
def test_an_ensemble_is_measured_handed_over_and_measured_again(tmp_path):
    done = run(generations(seeds=2), tmp_path / "run", cpu=True, quiet=True)
    pairs = [(one["of"], one["against"]) for one in done.results["verdicts"]]
    assert ("both", "both alone") in pairs
    assert ("both", "second") in pairs
    entry = done.results["outcomes"]["both"]
    assert entry["cost"]["parameters"] == 2 * done.results["outcomes"]["second"]["cost"]["parameters"]
    members = [done.students[name] for name in ("first", "second")]
    rows = torch.randn(5, 4)
    assert torch.allclose(done.students["both"](rows), MeanOfNetworks(members)(rows))
    weights = tmp_path / "run" / "outcomes" / "both" / "student.safetensors"
    again = read_json(weights.with_name("network.json"))
    assert [one["network"] for one in again["members"]] == ["student", "student"]
    assert len(load_file(weights)) == 2 * len(members[0].state_dict())
    made = rebuild(str(tmp_path / "run"), weights=weights).network
    assert torch.allclose(made(rows), MeanOfNetworks(members)(rows))


@pytest.mark.slow
def test_generations_that_were_lost_are_taken_up(tmp_path):
    whole = walked(generations(), tmp_path / "whole", keep={("student", 1)})
    walked(generations(), tmp_path / "lost")
    for path in [*(tmp_path / "lost" / "stage2").iterdir(), tmp_path / "lost" / "trained.json"]:
        path.unlink()
    again = walked(generations(), tmp_path / "lost", keep={("student", 1)})
    assert same(values(again.network), values(whole.network))
    assert same(values(again.of("student", 1)), values(whole.of("student", 1)))


def test_the_stage_before_may_teach(tmp_path, monkeypatch):
    """Born again: a fresh student follows the one that the first stage left."""
    seen = []
    made = Offline.__init__

    @wraps(made)
    def noted(self, student, teacher, matches):
        seen.append((teacher, values(student)))
        made(self, student, teacher, matches)

    monkeypatch.setattr(Offline, "__init__", noted)
    again = stage("offline", SOFT, teacher="before", afresh=["student"])
    held = study(stage(), again)
    assert not held.asks  # nobody outside is asked
    done = walked(held, tmp_path / "run", keep={("student", 0)})
    teacher, began = seen[-1]
    assert isinstance(teacher, Frozen)
    assert same(values(teacher.network), values(done.of("student", 0)))
    assert not same(began, values(done.of("student", 0)))


@pytest.mark.parametrize("lost", ["stage1", "trained.json", "stage0"])
def test_a_walk_is_taken_up_where_it_was_lost(tmp_path, lost):
    stages = (stage(), {"prune": {"share": 0.5}}, stage())
    whole = walked(study(*stages), tmp_path / "whole")
    walked(study(*stages), tmp_path / "lost")
    (tmp_path / "lost" / "trained.json").unlink()
    for path in sorted((tmp_path / "lost").rglob("*")):
        if path.is_file() and (lost in path.parts or (lost == "stage0" and "stage" in str(path.parent.name))):
            path.unlink()
    again = walked(study(*stages), tmp_path / "lost")
    assert same(values(whole.network), values(again.network))
    assert again.about == whole.about


@pytest.mark.slow
def test_outcomes_have_files_and_controls_of_their_structure(tmp_path):
    """After training, and after pruning: each is measured, and held against the control at the same place."""
    held = study(
        stage(),
        {"prune": {"share": 0.5}},
        stage(),
        outcomes={"student": {}, "before": {"stage": 0}},
    )
    done = run(held, tmp_path / "run", quiet=True, cpu=True)
    found = done.results["outcomes"]
    assert list(found) == ["student alone", "before alone", "student", "before"]
    assert found["before"]["against"] == "before alone"
    for name in ("student", "before"):
        ours, alone = (found[each]["cost"]["parameters"] for each in (name, f"{name} alone"))
        assert ours == alone
    assert found["before"]["cost"]["parameters"] > found["student"]["cost"]["parameters"]
    assert (found["before"]["steps"], found["student"]["steps"]) == (4, 8)
    for name in found:
        place = done.out if name == "student" else done.out / "outcomes" / name
        shapes = {key: list(value.shape) for key, value in load_file(place / "student.safetensors").items()}
        assert read_json(place / "network.json")["shapes"] == shapes
    assert done.results["teacher"] is None


@pytest.mark.slow
def test_no_teacher_entry_unless_somebody_was_asked(tmp_path):
    teacher = {
        "frozen": {"model": {"mlp": {"widths": [8]}}, "train": {"epochs": 1}, "optimizers": {"student": SGD}}
    }
    done = run(study(stage("offline", HARD), teacher=teacher), tmp_path / "run", quiet=True, cpu=True)
    assert done.results["teacher"] is None
    assert not (done.out / "teacher").exists()
    assert done.verdict.difference == 0


def test_what_an_earlier_stage_left_comes_back_as_it_was(tmp_path):
    held = study(
        stage(),
        {"prune": {"share": 0.5}},
        stage(),
        outcomes={"small": {"network": "student"}, "before": {"network": "student", "stage": 0}},
        seeds=1,
    )
    found = run(held, tmp_path / "run", quiet=True)
    for name, width in (("small", 2), ("before", 4)):
        network = load(found.out, outcome=name)
        assert network.hidden[0].linear.out_features == width
        assert same(values(network), values(found.students[name]))
