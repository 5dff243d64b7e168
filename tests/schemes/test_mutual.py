"""Peers that teach one another: what each hears, controls of their own, a run from end to end."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together
from torch import nn

from tutelage.data import Examples
from tutelage.errors import ModelError
from tutelage.losses import feature, response
from tutelage.losses.divergences import forward_kl
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.schemes import Mutual
from tutelage.types import Batch, HeadLogits

RECIPE = "vision/digits_mutual"


def soft(temperature: float = 1.0) -> Match:
    return Match(response.SoftTarget(temperature=temperature))


def hard() -> Match:
    return Match(response.HardLabel())


def saying(*logits: float) -> nn.Linear:
    """A network that answers an input of 1 with these logits."""
    network = nn.Linear(1, len(logits), bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor(logits).unsqueeze(1))
    return network


def ones(count: int = 2) -> Batch:
    return Examples(torch.ones(count, 1), torch.zeros(count, dtype=torch.long)).batch(range(count))


def rows(count: int = 9) -> Batch:
    inputs = torch.randn(count, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return Examples(inputs, torch.arange(count) % 3).batch(range(count))


def net(*inside: nn.Module, classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), *inside, nn.Linear(5, classes)).double()


def peers(*networks: nn.Module) -> dict[str, nn.Module]:
    return dict(zip(("student", "peer", "other"), networks, strict=False))


# -- what a peer hears -------------------------------------------------------------------------------


def test_two_peers_follow_labels_and_each_other():
    scheme = Mutual(peers(saying(0, 0), saying(math.log(3), 0)), [soft(), hard()])  # 1/2, 1/2 and 3/4, 1/4
    student, peer = (turn.terms(ones()) for turn in scheme.turns())
    assert student["SoftTarget"].item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert student["HardLabel"].item() == pytest.approx(math.log(2))
    assert peer["SoftTarget"].item() == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert peer["HardLabel"].item() == pytest.approx(math.log(4 / 3))


def test_three_peers_follow_the_mean_of_the_others_probabilities():
    scheme = Mutual(peers(saying(0, 0), saying(math.log(3), 0), saying(0, math.log(3))), [soft()])
    first, second, _ = (turn.terms(ones())["SoftTarget"].item() for turn in scheme.turns())
    assert first == pytest.approx(0, abs=1e-7)  # 3/4, 1/4 and 1/4, 3/4 on average
    mean = [(0.5 + 0.25) / 2, (0.5 + 0.75) / 2]
    assert second == pytest.approx(mean[0] * math.log(mean[0] / 0.75) + mean[1] * math.log(mean[1] / 0.25))


def test_at_temperature_1_the_gradient_is_that_of_the_mean_of_divergences():
    torch.manual_seed(0)
    held, batch = peers(net(), net(), net()), rows()
    Mutual(held, [soft()]).turns()[0].terms(batch)["SoftTarget"].backward()
    ours = [p.grad.clone() for p in held["student"].parameters()]
    held["student"].zero_grad()
    own, *others = (network(batch.inputs).log_softmax(-1) for network in held.values())
    (sum(forward_kl(own, other.detach()).mean() for other in others) / 2).backward()
    for mine, papers in zip(ours, held["student"].parameters(), strict=True):
        torch.testing.assert_close(mine, papers.grad)


def test_a_peer_that_moved_is_heard_as_it_is_now():
    scheme = Mutual(peers(saying(0, 0), saying(math.log(3), 0)), [soft(), hard()])
    first, second = scheme.turns()
    before = second.terms(ones())["SoftTarget"].item()
    sum(first.terms(ones()).values()).backward()
    torch.optim.SGD(first.parameters, lr=0.5).step()
    assert second.terms(ones())["SoftTarget"].item() < before


def test_who_answers_stays_as_it_is():
    torch.manual_seed(0)
    held = peers(*(net(nn.BatchNorm1d(5), nn.Dropout(0.5)) for _ in range(3)))
    before = copy.deepcopy({name: network.state_dict() for name, network in held.items()})
    for turn in Mutual(held, [soft(), hard()]).turns():
        state = torch.get_rng_state()
        sum(turn.terms(rows()).values()).backward()
        torch.set_rng_state(state)
        for name, network in held.items():
            moved = any(p.grad is not None for p in network.parameters())
            kept = all(torch.equal(v, before[name][k]) for k, v in network.state_dict().items())
            assert moved is (name == turn.name)
            assert kept is (name != turn.name)
            assert all(layer.training for layer in network.modules())
        held[turn.name].load_state_dict(before[turn.name])
        held[turn.name].zero_grad()


def test_nobody_is_asked_in_vain():
    calls: list[str] = []
    held = peers(net(), net())
    for name, network in held.items():
        network.register_forward_hook(lambda *_, name=name: calls.append(name))
    for turn in Mutual(held, [hard()]).turns():
        turn.terms(rows())
    assert calls == ["student", "peer"]


def test_peers_have_matches_of_their_own():
    scheme = Mutual(peers(net(), net()), [soft(), hard()])
    assert list(scheme.modules) == ["student", "student_matches", "peer", "peer_matches"]
    assert not set(map(id, scheme.peers[0].matches)) & set(map(id, scheme.peers[1].matches))


class Headed(nn.Module):
    """Leaves its logits to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = net(classes=4)
        self.head = nn.Linear(4, 3).double()

    def forward(self, inputs: torch.Tensor) -> dict[str, object]:
        return {"logits": None, "head": HeadLogits(self.inside(inputs), self.head.weight, self.head.bias)}


def test_peers_may_leave_their_logits_to_the_loss():
    torch.manual_seed(0)
    for held in (peers(Headed(), Headed()), peers(net(), Headed(), net())):
        scheme = Mutual(held, [soft()])
        scheme.prepare(rows())
        assert all(turn.terms(rows())["SoftTarget"].isfinite() for turn in scheme.turns())


# -- what is refused ---------------------------------------------------------------------------------


def test_one_network_is_no_peer():
    with pytest.raises(ModelError, match=r"came with the networks \['student'\]; it needs two or more"):
        Mutual(peers(net()), [soft()])


@pytest.mark.parametrize("match", [{"guided": "0"}, {"stages": "last"}])
def test_a_mean_has_no_layers(match):
    with pytest.raises(ModelError, match="looks at layers of a teacher, and the mean over peers has logits"):
        Mutual(peers(net(), net()), [Match(feature.Hint(), **match)])


def test_peers_with_other_classes():
    with pytest.raises(ModelError, match="the student answers with 3 classes and the teacher with 4"):
        Mutual(peers(net(), net(classes=4)), [soft()]).prepare(rows())
    with pytest.raises(ModelError, match=r"logits of different shapes: \{'peer'"):
        Mutual(peers(net(), net(), net(classes=4)), [soft()]).prepare(rows())


# -- in a recipe -------------------------------------------------------------------------------------


def test_each_peer_is_held_against_itself_alone():
    study = build(load(RECIPE), "mutual")
    against = {name: one.against for name, one in study.outcomes.items()}
    assert against == {
        "student alone": None,
        "peer alone": None,
        "student": "student alone",
        "peer": "peer alone",
    }
    assert not study.asks
    assert all(not arm.needs_teacher for arm in study.arms.values())
    for name, terms in {"student": {True, False}, "control": {False}}.items():
        ((_, stage),) = study.arms[name].trainings
        assert {term.needs_teacher for term in stage.declared.terms} == terms
        assert list(stage.optimizers) == ["student", "peer"]


@pytest.mark.slow
def test_in_parts_and_on_two_processes(tmp_path):
    sgd = "{sgd: {lr: 0.05, momentum: 0.9}}"
    changes = [
        "stages.0.train={steps: 6, batch_size: 23}",
        f"stages.0.optimizers={{student: {sgd}, peer: {sgd}, other: {sgd}}}",
        "networks.other={model: {mlp: {widths: [8]}}}",
    ]
    same_in_parts_and_together(RECIPE, changes, tmp_path)


@pytest.mark.slow
def test_a_run_on_digits(tmp_path: Path):
    study = build(load(RECIPE, changes=["stages.0.train.epochs=4"]), "mutual", seeds=3)
    done = run(study, tmp_path / "run", quiet=True, cpu=True)
    held = json.loads((done.out / "results.json").read_text())
    assert list(held["outcomes"]) == ["student alone", "peer alone", "student", "peer"]
    assert all(one["quality"]["accuracy"]["mean"] > 0.85 for one in held["outcomes"].values())
    pairs = [(one["of"], one["against"]) for one in held["verdicts"]]
    assert pairs == [("student", "student alone"), ("peer", "peer alone")]
    assert held["teacher"] is None
    assert [line.partition(";")[0] for line in held["differences"]] == [
        "compute: each step of the student also takes 2 forward passes in which networks answer one another"
    ]
    assert (done.out / "student.safetensors").is_file()
    for name in ("student alone", "peer", "peer alone"):
        assert (done.out / "outcomes" / name / "student.safetensors").is_file()
    assert [layer.out_features for layer in linears(done.students["peer"])] == [64, 64, 10]
    assert [layer.out_features for layer in linears(done.student)] == [16, 10]
    page = done.report.read_text()
    assert "peer alone" in page
    assert "student alone" in page


def linears(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.slow
def test_the_mean_of_a_pair_on_real_digits_against_its_networks_alone(shared_data: Path, tmp_path: Path):
    """Two equal networks on a tenth of MNIST: no gain is claimed, and the pair must not lose a point."""
    if not (shared_data / "mnist").is_dir():
        pytest.skip(f"no copy of MNIST at {shared_data}")
    changes = [f"task.data={shared_data / 'mnist'}", "also={}", "stages.0.train.epochs=4"]
    study = build(load("vision/mnist_peers", changes=changes), "pair", seeds=3)
    done = run(study, tmp_path / "run", quiet=True, cpu=True)
    held = json.loads((done.out / "results.json").read_text())["outcomes"]
    seeds = {name: torch.tensor(one["quality"]["accuracy"]["per_seed"]) for name, one in held.items()}
    pair = (seeds["student"] + seeds["peer"]) / 2
    alone = (seeds["student alone"] + seeds["peer alone"]) / 2
    assert alone.min() > 0.9
    assert (pair - alone).mean() > -0.01
