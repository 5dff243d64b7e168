"""A network that teaches its own exits: what it minimises, what it hands over, and a run on real digits."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.data import Examples
from tutelage.engine import seeded
from tutelage.errors import ModelError, UnknownName
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.runs.measuring import cost_of_network
from tutelage.schemes import Exits
from tutelage.studies import fresh_networks
from tutelage.studies.compared import differences
from tutelage.tasks.networks import mlp
from tutelage.tasks.vision.models import mlp_with_exits, thin_convnet
from tutelage.types import Batch

RECIPE = "vision/digits_exits"
OWN = "vision/mnist_own_teacher"
SMALLER = ["task.validation=0.2", "task.mean=null", "task.std=null"]
FEW_STEPS = [
    "stages.0.train.epochs=null",
    "stages.0.train.steps=6",
    "stages.0.optimizers.student={sgd: {lr: 0.05}}",
]


class Constant(nn.Module):
    """Answers with its parameters, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Parameter(torch.tensor([math.log(3), 0.0]))
        self.early = nn.Parameter(torch.zeros(2))

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        return {"logits": self.deep.expand(len(rows), 2), "early": self.early.expand(len(rows), 2)}

    def ending_at(self, exit_: str) -> nn.Module:
        return nn.Identity()


def batch(count: int = 1) -> Batch:
    return Examples(torch.zeros(count, 12), torch.zeros(count, dtype=torch.long)).batch(range(count))


def labels_and_soft() -> list[Match]:
    return [Match(response.HardLabel(), weight=0.5), Match(response.SoftTarget(temperature=1.0), weight=2.0)]


def deep() -> nn.Module:
    torch.manual_seed(0)
    return mlp_with_exits(num_classes=3, in_features=12, widths=[5, 6, 7])


def test_terms_and_gradients_by_hand():
    network = Constant()
    (turn,) = Exits(network, labels_and_soft(), ["early"]).turns()
    terms = turn.terms(batch())
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            "HardLabel": 0.5 * -math.log(0.75),
            "HardLabel early": 0.5 * math.log(2),
            "SoftTarget early": 2 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)),
        }
    )
    sum(terms.values()).backward()
    assert network.early.grad.tolist() == pytest.approx([0.5 * (0.5 - 1) - 2 * 0.25, 0.5 * 0.5 + 2 * 0.25])
    assert network.deep.grad.tolist() == pytest.approx([0.5 * (0.75 - 1), 0.5 * 0.25])  # from its label alone


def test_terms_stand_at_each_exit_and_those_with_a_place_stay_there():
    placed = [
        Match(response.HardLabel(), guided=":output.exit2", weight=0.7),
        Match(feature.Hint(), guided="hidden.0", hint="hidden.2"),
    ]
    scheme = Exits(deep(), [*labels_and_soft(), *placed], ["exit1", "exit2"])
    scheme.prepare(batch())
    terms = scheme.turns()[0].terms(batch(4))
    assert list(terms) == [
        *(f"HardLabel{exit_}" for exit_ in ("", " exit1", " exit2")),
        *(f"SoftTarget {exit_}" for exit_ in ("exit1", "exit2")),
        "HardLabel(:output.exit2)",
        "Hint(hidden.0)",
    ]
    projector = scheme.matches[-1].projectors[0]
    assert sum(p.numel() for p in projector.parameters()) == 5 * 7 + 7


def test_a_hint_moves_nothing_above_the_guided_layer():
    hint = Match(feature.Hint(), guided="hidden.0", hint="hidden.2")
    network = deep()
    scheme = Exits(network, [hint], ["exit1"])
    scheme.prepare(batch())
    sum(scheme.turns()[0].terms(Batch(torch.randn(4, 12), torch.arange(4))).values()).backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert moved == {"hidden.0.linear.weight", "hidden.0.linear.bias"}


def test_it_declares_the_whole_and_a_part_for_each_exit():
    declared = Exits.declare(labels_and_soft(), ["student"], early=["exit1", "exit2"])
    assert [student.name for student in declared.students] == ["student", "exit1", "exit2"]
    assert declared.asks == "nobody"
    assert declared.turn_names == ["student"]
    assert [term.needs_teacher for term in declared.terms] == [False] * 3 + [True] * 2
    network = deep()
    assert declared.students[0].view is None
    part = declared.students[2].view(network)
    assert torch.equal(part(torch.ones(2, 12)), network(torch.ones(2, 12))["exit2"])


def test_it_hands_over_a_network_that_stops_early_for_each_threshold():
    declared = Exits.declare(labels_and_soft(), ["student"], early=["exit1", "exit2"], thresholds=[0.5, 0.99])
    assert [student.name for student in declared.students[3:]] == ["early 0.5", "early 0.99"]
    network, rows = deep().eval(), torch.randn(6, 12)
    stopped = declared.students[3].view(network)
    assert stopped.threshold == 0.5
    assert torch.equal(stopped(rows), network.stopping(0.5)(rows))


@pytest.mark.slow
def test_what_a_network_that_stops_early_costs_is_a_mean_over_examples():
    problem = build(load(RECIPE), "exits").problem
    network = mlp_with_exits(num_classes=10, in_features=64, widths=[8, 32, 64], dropout=0.5).train()

    def operations(one: nn.Module) -> int:
        return cost_of_network(one, problem, torch.device("cpu"), latency=False)["flops"]

    first, all_exits = operations(network.ending_at("exit1")), operations(network)
    assert operations(network.stopping(0.0)) == first
    assert operations(network.stopping(0.9999)) == all_exits
    images = problem.validation.batch(range(64)).inputs
    middle = float(network.eval()(images)["exit1"].detach().softmax(-1).amax(-1).median())
    assert first < operations(network.stopping(middle)) < all_exits


def test_a_network_that_cannot_stop_is_told_how():
    with pytest.raises(
        ModelError, match=r"Constant cannot stop early: give it a method `stopping\(threshold\)"
    ):
        Exits(Constant(), labels_and_soft(), ["early"], thresholds=[0.9])


def test_exits_may_be_attached_to_any_network_in_a_recipe():
    """Labels, soft labels and a feature of the deepest layer reach the bottlenecks of all exits."""
    study = build(
        load(OWN, changes=["task.data=sklearn.digits", "task.size=8", "task.train=null", *SMALLER]), "own"
    )
    network = fresh_networks(study.first, 0)["student"]
    names = ["student", "exit1", "exit2", "exit3", "early 0.8", "early 0.85", "early 0.95"]
    assert [name for name in study.outcomes if "alone" not in name and name != "plain"] == names
    assert study.compare == [("student", "plain")]
    (_, stage), *_ = study.first.trainings
    scheme = stage.scheme({"student": network}, None)
    scheme.prepare(study.first.source.batch([0]))
    (turn,) = scheme.turns()
    terms = turn.terms(study.first.source.batch(range(4)))
    assert len(terms) == 4 + 3 + 3
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    plain = study.arms["plain"]
    body = make_thin_convnet()
    with seeded(0):
        drawn = body()
    assert all(
        torch.equal(value, fresh_networks(plain, 0)["student"].network.state_dict()[key])
        for key, value in drawn.state_dict().items()
    )


def make_thin_convnet():
    options = {"widths": [8, 16, 32, 32], "downsample_every": 1, "batch_norm": True, "in_channels": 1}
    return partial(thin_convnet, num_classes=10, **options)


@pytest.mark.parametrize("early", [[], ["exit1", "exit1"]])
def test_exits_are_named_each_once(early):
    with pytest.raises(ModelError, match="name the early exits of the network, each once"):
        Exits(deep(), labels_and_soft(), early)


def test_an_exit_that_is_not_there_names_the_nearest():
    with pytest.raises(UnknownName, match=r"'exit7'.*'exit"):
        Exits(deep(), labels_and_soft(), ["exit7"])


def test_a_network_that_cannot_be_cut_is_told_how():
    with pytest.raises(ModelError, match=r"MLP cannot be cut at exit1: give it a method `ending_at"):
        Exits(mlp(num_classes=3, in_features=12, widths=[4]), labels_and_soft(), ["exit1"])


@pytest.mark.parametrize("place", [{"guided": "hidden.0"}, {"stages": "uniform"}])
def test_a_layer_is_not_compared_with_itself(place):
    with pytest.raises(ModelError, match="compares layers of the network with themselves"):
        Exits(deep(), [Match(feature.Hint(), **place)], ["exit1"])


def test_the_control_differs_in_nothing_but_what_looks_at_the_deepest_exit():
    study = build(load(RECIPE), "exits")
    kept = [term.text for _, stage in study.arms["control"].trainings for term in stage.declared.terms]
    assert len(kept) == 3
    assert {one.against for name, one in study.outcomes.items() if "alone" not in name} == {
        "student alone",
        "exit1 alone",
        "exit2 alone",
    }
    assert all(differences(study, name, f"{name} alone") == [] for name in ("student", "exit1", "exit2"))
    assert study.teacher is None


@pytest.mark.slow
def test_parts_and_processes_leave_the_same_weights(tmp_path: Path):
    same_in_parts_and_together(RECIPE, FEW_STEPS, tmp_path)


@pytest.mark.slow
def test_attached_exits_leave_the_same_weights_in_parts_and_together(tmp_path: Path):
    attached = "{with_exits: {network: {mlp: {widths: [8, 16, 16]}}, at: [hidden.0, hidden.1], width: 4}}"
    hint = "{loss: feature.Hint, guided: exits.exit1.bottleneck, hint: network.hidden.2}"
    changes = [
        *FEW_STEPS,
        f"student.model={attached}",
        f"stages.0.scheme.matches=[{{loss: response.HardLabel}}, {{loss: response.SoftTarget}}, {hint}]",
    ]
    same_in_parts_and_together(RECIPE, changes, tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exits") / "run"
    run(build(load(RECIPE, changes=["stages.0.train.epochs=4"]), RECIPE, seeds=3), out, cpu=True, quiet=True)
    return out


@pytest.mark.slow
def test_a_run_judges_each_exit_against_its_own_control(finished: Path):
    results = json.loads((finished / "results.json").read_text())
    exits = ["student", "exit1", "exit2"]
    assert set(results["outcomes"]) == {*exits, *(f"{name} alone" for name in exits)}
    assert [(one["of"], one["against"]) for one in results["verdicts"]] == [(n, f"{n} alone") for n in exits]
    assert all(one["seeds"] == 3 and one["interval"] for one in results["verdicts"])
    assert results["teacher"] is None
    for name in exits:
        one, alone = results["outcomes"][name], results["outcomes"][f"{name} alone"]
        assert len(one["quality"]["accuracy"]["per_seed"]) == 3
        assert one["quality"]["accuracy"]["mean"] > 0.5
        assert one["steps"] == alone["steps"]
        assert one["cost"]["parameters"] == alone["cost"]["parameters"]
        assert one["cost"]["flops"] == alone["cost"]["flops"]


@pytest.mark.slow
def test_costs_grow_with_the_exits(finished: Path):
    outcomes = json.loads((finished / "results.json").read_text())["outcomes"]
    costs = [outcomes[name]["cost"] for name in ("exit1", "exit2", "student")]
    for key in ("parameters", "bytes", "flops"):
        assert costs[0][key] < costs[1][key] < costs[2][key]
    assert costs[0]["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert all(cost["latency_ms"]["1"]["p50"] > 0 for cost in costs)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "widths"), [("exit1", [8]), ("exit2", [8, 32])])
def test_each_exit_is_handed_over_as_a_plain_network(finished: Path, name: str, widths: list[int]):
    whole = mlp_with_exits(num_classes=10, in_features=64, widths=[8, 32, 64]).eval()
    whole.load_state_dict(load_file(finished / "student.safetensors"))
    for folder in (name, f"{name} alone"):
        plain = mlp(num_classes=10, in_features=64, widths=widths).eval()
        plain.load_state_dict(load_file(finished / "outcomes" / folder / "student.safetensors"))
        inputs = torch.rand(5, 64)
        assert torch.equal(plain(inputs), whole(inputs)[name]) == (folder == name)


@pytest.mark.slow
def test_an_exit_is_measured_again_by_itself(finished: Path):
    words = ["evaluate", str(finished), "--cpu", "--json", "--weights"]
    outcomes = json.loads((finished / "results.json").read_text())["outcomes"]
    for name in ("exit1", "exit2 alone"):
        weights = finished / "outcomes" / name / "student.safetensors"
        answer = CliRunner().invoke(app, [*words, str(weights)])
        assert answer.exit_code == 0, answer.stderr
        found = json.loads(answer.stdout)
        assert found["quality"]["accuracy"]["mean"] in outcomes[name]["quality"]["accuracy"]["per_seed"]
        assert found["cost"]["parameters"] == outcomes[name]["cost"]["parameters"]


@pytest.mark.slow
def test_the_report_shows_all_exits(finished: Path):
    page = (finished / "report.html").read_text()
    assert all(name in page for name in ("student alone", "exit1 alone", "exit2 alone"))
