"""A critic and a student: what each minimises, what each leaves alone, a run from end to end."""

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
from tutelage.errors import ModelError, UnknownName
from tutelage.losses import response
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.schemes import Adversarial
from tutelage.teachers import Committee, Frozen, Function, MovingAverage
from tutelage.types import Batch, Outputs, SparseLogits

RECIPE = "vision/digits_critic"
FEATURES = [
    "stages.0.scheme.guided=hidden.0",
    "stages.0.scheme.hint=hidden.1",
    "networks.critic.model.in_features=128",
]


def hard(**options) -> Match:
    return Match(response.HardLabel(), **options)


def soft() -> Match:
    return Match(response.SoftTarget(temperature=2.0))


def batch(count: int = 6, **changes) -> Batch:
    inputs = torch.randn(count, 4, generator=torch.Generator().manual_seed(3))
    return Examples(inputs, torch.arange(count) % 3, **changes).batch(range(count))


def net(*inside: nn.Module, reads: int = 4, answers: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(reads, 5), *inside, nn.Linear(5, answers))


def critic(*inside: nn.Module) -> nn.Module:
    return net(*inside, reads=3, answers=1)


def scheme(*matches: Match, student=None, judge=None, teacher=None, **options) -> Adversarial:
    torch.manual_seed(1)
    teacher = teacher or Frozen(net())
    return Adversarial(student or net(), judge or critic(), teacher, matches or [hard()], **options)


class FirstLogit(nn.Module):
    """A critic by hand: k times the first logit."""

    def __init__(self, k: float = 1.0) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k))

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return self.k * logits[:, :1]


def always(*logits: float) -> nn.Linear:
    """A network that answers with the same logits whatever it reads."""
    network = nn.Linear(4, len(logits))
    with torch.no_grad():
        network.weight.zero_()
        network.bias.copy_(torch.tensor(logits))
    return network


# -- what is minimised -------------------------------------------------------------------------------


def test_the_terms_on_logits_that_can_be_checked_by_hand():
    made = scheme(
        hard(weight=2.0),
        student=always(math.log(3), 0.0, 0.0),
        teacher=Frozen(always(math.log(4), 0.0, 0.0)),
        judge=FirstLogit(),
        adversarial_weight=0.5,
    )
    critic_, student = made.turns()
    # sigmoid(log 4) = 4/5 for the teacher, sigmoid(log 3) = 3/4 for the student
    assert critic_.terms(batch())["Critic"].item() == pytest.approx((-math.log(4 / 5) - math.log(1 / 4)) / 2)
    terms = student.terms(batch())
    assert terms["Adversarial"].item() == pytest.approx(-0.5 * math.log(3 / 4))
    assert list(terms) == ["HardLabel", "Adversarial"]
    assert student.weights() == {"HardLabel": 2.0, "Adversarial": 0.5}


def test_a_critic_that_only_guesses_stands_at_log_2():
    made = scheme(judge=FirstLogit(0.0))
    assert made.turns()[0].terms(batch())["Critic"].item() == pytest.approx(math.log(2))


def test_the_critic_learns_to_tell_them_apart_and_the_student_to_be_taken_for_the_teacher():
    made = scheme(student=always(0.0, 0.0, 0.0), teacher=Frozen(always(2.0, 0.0, -2.0)))
    critic_, student = made.turns()
    for turn, name in ((critic_, "Critic"), (student, "Adversarial")):
        optimizer, first = torch.optim.SGD(turn.parameters, lr=0.2), turn.terms(batch())[name].item()
        for _ in range(50):
            optimizer.zero_grad()
            turn.terms(batch())[name].backward()
            optimizer.step()
        assert turn.terms(batch())[name].item() < first / 2


def test_masked_items_count_for_nothing():
    whole = batch(6)
    few = Batch(whole.inputs[:4], whole.ids[:4], whole.labels[:4])
    mask = torch.tensor([True] * 4 + [False] * 2)
    inputs = whole.inputs.clone()
    inputs[4:] = torch.nan
    masked = Batch(inputs, whole.ids, whole.labels, mask)
    made = scheme(soft())
    for turn in made.turns():
        for name, term in turn.terms(masked).items():
            torch.testing.assert_close(term, turn.terms(few)[name])
        sum(turn.terms(masked).values()).backward()
    assert all(p.grad.isfinite().all() for p in made.critic.parameters())


def test_items_without_an_answer_stay_in_the_critics_denominator():
    answered = torch.tensor([True, True, True, False, False, False])
    logits = torch.tensor([0.0, 0.0, 0.0]).expand(6, 3)
    teacher = Function(lambda _: Outputs(logits, mask=answered), takes="batch")
    made = scheme(student=always(0.0, 0.0, 0.0), teacher=teacher, judge=FirstLogit())
    assert made.turns()[0].terms(batch())["Critic"].item() == pytest.approx(math.log(2) / 2)


def test_how_often_the_critic_is_right_is_noted_and_not_minimised():
    made = scheme(student=always(1.0, 0.0, 0.0), teacher=Frozen(always(2.0, 0.0, 0.0)), judge=FirstLogit())
    turn = made.turns()[0]
    assert turn.notes == ("Accuracy",)
    right = turn.terms(batch())["Accuracy"]
    assert right.item() == 0.5  # right about the teacher, wrong about the student
    assert not right.requires_grad


# -- features ----------------------------------------------------------------------------------------


def test_a_critic_of_features_by_hand():
    student, teacher = (
        nn.Sequential(always(-1.0, 0.0), net(reads=2)),
        nn.Sequential(always(2.0, 7.0), net(reads=2)),
    )
    made = scheme(
        student=student, teacher=Frozen(teacher), judge=FirstLogit(), guided="0", adversarial_weight=2
    )
    made.prepare(batch())
    critic_, taught = made.turns()
    terms = critic_.terms(batch())
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    assert terms["Critic"].item() == pytest.approx((softplus(-2.0) + softplus(-1.0)) / 2)
    assert terms["Accuracy"].item() == 1
    assert taught.terms(batch())["Adversarial"].item() == pytest.approx(2 * softplus(1.0))


def test_features_of_another_width_and_maps():
    def maps(width: int) -> nn.Module:
        return nn.Sequential(
            nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, width, 1), nn.Flatten(), nn.Linear(4 * width, 3)
        )

    judge = net(reads=6, answers=1)
    made = scheme(soft(), student=maps(2), teacher=Frozen(maps(6)), judge=judge, guided="1")
    made.prepare(batch())
    assert (made.projector.map.in_features, made.projector.map.out_features) == (2, 6)
    assert "projector" in made.modules
    critic_, student = made.turns()
    sum(critic_.terms(batch()).values()).backward()
    assert all(p.grad is None for p in [*made.projector.parameters(), *made.student.parameters()])
    student.terms(batch())["Adversarial"].backward()
    moved = {id(p) for p in student.parameters}
    for parameter in (*made.projector.parameters(), *made.student[1].parameters()):
        assert parameter.grad is not None
        assert id(parameter) in moved
    assert all(p.grad is None for p in made.student[3].parameters())  # above the layer


def test_layers_that_are_not_there():
    with pytest.raises(UnknownName, match="'9'"):
        scheme(guided="9")
    with pytest.raises(ModelError, match="hint came as '0' and guided as nothing"):
        scheme(hint="0")
    with pytest.raises(ModelError, match=r"cannot read the student's features, of 5 numbers"):
        scheme(guided="0").prepare(batch())


# -- who moves ---------------------------------------------------------------------------------------


def test_each_turn_leaves_the_other_network_as_it_was():
    torch.manual_seed(0)
    student, judge = net(nn.BatchNorm1d(5), nn.Dropout(0.5)), critic(nn.BatchNorm1d(5), nn.Dropout(0.5))
    made = scheme(soft(), student=student, judge=judge)
    for turn, mover, other in zip(made.turns(), (judge, student), (student, judge), strict=True):
        before = copy.deepcopy(other.state_dict())
        sum(turn.terms(batch()).values()).backward()
        assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())
        assert all(p.grad is None for p in other.parameters())
        assert all(p.requires_grad for p in other.parameters())
        assert all(layer.training for layer in other.modules())
        assert all(p.grad is not None for p in mover.parameters())
        mover.zero_grad(set_to_none=True)


def test_the_teacher_is_asked_by_the_critic_though_no_match_asks():
    asked = []
    teacher = Function(lambda inputs: asked.append(1) or inputs[:, :3])
    critic_, student = scheme(hard(), teacher=teacher).turns()
    student.terms(batch())
    assert not asked
    critic_.terms(batch())
    assert asked


def test_a_teacher_that_follows_or_heeds_the_student():
    for teacher in (MovingAverage(), Committee([net(), net()])):
        made = scheme(soft(), teacher=teacher)
        made.prepare(batch())
        assert all(term.isfinite() for turn in made.turns() for term in turn.terms(batch()).values())
        assert ("teacher" in made.modules) is isinstance(teacher, MovingAverage)


# -- what is refused ---------------------------------------------------------------------------------


def test_critics_that_do_not_fit():
    with pytest.raises(ModelError, match=r"tensor of shape \[6, 2\]; expected one number .* num_classes: 1"):
        scheme(judge=net(reads=3, answers=2)).prepare(batch())
    with pytest.raises(
        ModelError, match=r"cannot read the student's logits, of 3 numbers: .* in_features: 3"
    ):
        scheme(judge=net(reads=7, answers=1)).prepare(batch())


def test_a_teacher_that_keeps_few_classes():
    few = SparseLogits(torch.zeros(6, 1, dtype=torch.long), torch.zeros(6, 1), 3)
    teacher = Function(lambda _: Outputs(sparse=few), takes="batch")
    with pytest.raises(ModelError, match="the teacher answers without the logits of all classes"):
        scheme(teacher=teacher).prepare(batch())


def test_no_teacher_and_no_weight():
    with pytest.raises(ModelError, match="Adversarial was given no teacher"):
        Adversarial(net(), critic(), None, [hard()])
    for weight in (-1.0, True, "much", math.nan, math.inf):
        with pytest.raises(ModelError, match=r"weight came as .*; expected a number of 0 or more"):
            scheme(adversarial_weight=weight)


# -- in a recipe -------------------------------------------------------------------------------------


def test_the_control_is_the_student_alone():
    study = build(load(RECIPE), "critic")
    assert {name: one.against for name, one in study.outcomes.items()} == {
        "control": None,
        "student": "control",
        "soft_targets": "control",
    }
    ((_, stage),) = study.arms["student"].trainings
    assert list(stage.optimizers) == stage.declared.turn_names == ["critic", "student"]
    assert [term.needs_teacher for term in stage.declared.terms] == [True, True]
    ((_, alone),) = study.arms["control"].trainings
    assert list(alone.optimizers) == alone.declared.turn_names == ["student"]
    assert alone.declared.asks == "nobody"


@pytest.mark.slow
@pytest.mark.parametrize("place", [[], FEATURES], ids=["logits", "features"])
def test_in_parts_and_on_two_processes(tmp_path, place):
    sgd = "{sgd: {lr: 0.05, momentum: 0.9}}"
    changes = [
        "teacher.frozen.train={epochs: 1, batch_size: 64}",
        "teacher.frozen.optimizers={student: {sgd: {lr: 0.05}}}",
        "stages.0.train={steps: 6, batch_size: 23}",
        f"stages.0.optimizers={{critic: {sgd}, student: {sgd}}}",
        "stages.0.scheme.adversarial_weight=1.0",
        "also={}",
        *place,
    ]
    same_in_parts_and_together(RECIPE, changes, tmp_path)


@pytest.mark.slow
def test_a_run_on_digits(tmp_path: Path):
    changes = ["teacher.frozen.train.epochs=8", "stages.0.train.epochs=6", "also={}"]
    done = run(
        build(load(RECIPE, changes=changes), "critic", seeds=3), tmp_path / "run", quiet=True, cpu=True
    )
    held = json.loads((done.out / "results.json").read_text())
    assert list(held["outcomes"]) == ["control", "student"]
    assert held["verdict"]["of"] == "student"
    assert held["verdict"]["against"] == "control"
    assert held["student"]["quality"]["accuracy"]["mean"] > 0.8
    assert held["teacher"]["quality"]["accuracy"]["mean"] > 0.8
    for file in ("student.safetensors", "outcomes/control/student.safetensors", "report.html"):
        assert (done.out / file).is_file()
    seen = {name: load_terms(done.out / "seed0" / name) for name in ("student", "control")}
    assert seen["student"] == {"critic/Critic", "student/SoftTarget", "student/Adversarial"}
    assert seen["control"] == {"student/HardLabel"}


def load_terms(arm: Path) -> set[str]:
    """The names of the terms in the record of an arm's training."""
    lines = (arm / "stage0" / "history.jsonl").read_text().splitlines()
    return {name for line in lines for name in json.loads(line).get("terms", ())}
