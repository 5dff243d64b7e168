"""A fixed teacher and a learning student; a student alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from tutelage.data import Examples, Loader
from tutelage.engine import OptimizerSettings, Runtime, TrainSettings, fit, seeded
from tutelage.errors import ModelError, UnknownName
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.projectors import Conv, Linear
from tutelage.schemes import Alone, Offline
from tutelage.schemes.learner import _distinct
from tutelage.teachers import Ahead, Frozen
from tutelage.types import Batch, Outputs


def net(width: int = 4, classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, classes))


def batch(count: int = 5) -> Batch:
    return Examples(torch.randn(count, 2), torch.arange(count) % 3).batch(range(count))


def soft(**options) -> Match:
    return Match(response.SoftTarget(temperature=2.0), **options)


def hard(**options) -> Match:
    return Match(response.HardLabel(), **options)


def test_other_classes_are_refused_before_training():
    scheme = Offline(net(classes=3), Frozen(net(classes=5)), [soft()])
    with pytest.raises(ModelError, match="the student answers with 3 classes and the teacher with 5"):
        scheme.prepare(batch())


def test_other_classes_do_not_matter_to_features_and_labels():
    scheme = Offline(net(classes=3), Frozen(net(classes=5)), [Match(feature.Hint(), guided="1"), hard()])
    scheme.prepare(batch())
    (turn,) = scheme.turns()
    assert set(turn.terms(batch())) == {"Hint(1)", "HardLabel"}


def test_a_wrong_layer_is_refused_before_training():
    wrong = Match(feature.Hint(), guided="11", hint="1")
    with pytest.raises(UnknownName, match=r"unknown layer '11'\. Nearest: '1'"):
        Offline(net(), Frozen(net()), [wrong])
    with pytest.raises(UnknownName, match=r"unknown layer '12'\. Nearest: '2', '1'"):
        Offline(net(), Frozen(net()), [Match(feature.Hint(), guided="1", hint="12")])


def test_a_dry_run_leaves_norms_dropout_and_generators_alone():
    student = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    scheme, one = Offline(student, Frozen(net()), [soft()]), batch(1)
    before, state = student[1].running_mean.clone(), torch.get_rng_state()
    scheme.prepare(one)
    assert torch.equal(student[1].running_mean, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert student[2].training


@pytest.mark.parametrize(("width", "fitted"), [(4, []), (9, [Linear])])
def test_a_hint_gets_the_projector_it_needs(width, fitted):
    match = Match(feature.Hint(), guided="1")
    student = net(4)
    scheme = Offline(student, Frozen(net(width)), [match])
    scheme.prepare(batch())
    assert [type(one) for one in match.projectors] == fitted
    (turn,) = scheme.turns()
    sum(turn.terms(batch()).values()).backward()
    trained = {id(p) for p in turn.parameters}
    assert trained == {id(p) for p in (*student.parameters(), *match.parameters())}
    assert all(p.grad is not None for p in match.parameters())
    first = list(match.projectors)
    scheme.prepare(batch())
    assert list(match.projectors) == first


def test_maps_get_a_convolution():
    def maps(channels, stride):
        conv = nn.Conv2d(1, channels, 3, stride=stride, padding=1)
        return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))

    match = Match(feature.Hint(), guided="0")
    scheme = Offline(maps(2, 1), Frozen(maps(5, 2)), [match])
    pictures = Examples(torch.randn(4, 1, 8, 8)).batch(range(4))
    scheme.prepare(pictures)
    assert [type(one) for one in match.projectors] == [Conv]
    (turn,) = scheme.turns()
    assert turn.terms(pictures)["Hint(0)"].isfinite()


def test_a_projector_of_ones_own_or_none():
    own = nn.Linear(4, 9)
    assert Match(feature.Hint(), guided="1", projector=own).projectors[0] is own
    none = Match(feature.Hint(), guided="1", projector=None)
    scheme = Offline(net(4), Frozen(net(9)), [none])
    scheme.prepare(batch())
    assert not none.projectors
    with pytest.raises(UnknownName, match="projector 'linear'"):
        Match(feature.Hint(), guided="1", projector="linear")


def test_the_teacher_is_not_asked_in_vain():
    teacher = Frozen(net())
    asked = []
    teacher.register_forward_hook(lambda *_: asked.append(1))
    for matches, expected in (([hard()], 0), ([hard(), soft()], 1)):
        asked.clear()
        scheme = Offline(net(), teacher, matches)
        (turn,) = scheme.turns()
        turn.terms(batch())
        assert len(asked) == expected


def test_one_forward_each_for_several_matches():
    student, teacher, calls = net(), net(), []
    for who in (student, teacher):
        who.register_forward_hook(lambda module, *_: calls.append(module))
    scheme = Offline(student, Frozen(teacher), [soft(), hard(), Match(feature.Hint(), guided="1")])
    scheme.turns()[0].terms(batch())
    assert len(calls) == 2


def test_weights_multiply_terms():
    student, teacher, here = net(), Frozen(net()), batch()
    scheme = Offline(student, teacher, [soft(name="one"), soft(name="three", weight=3.0)])
    terms = scheme.turns()[0].terms(here)
    assert terms["three"].item() == pytest.approx(3 * terms["one"].item())


def test_names_are_told_apart():
    scheme = Offline(net(), Frozen(net()), [soft(), soft(), hard()])
    assert list(scheme.turns()[0].terms(batch())) == ["SoftTarget 1", "SoftTarget 2", "HardLabel"]
    for names in (["a", "a", "a 1"], ["a 1", "a", "a"], ["a", "a 2", "a", "a 2"], ["b"]):
        assert len(set(_distinct(names))) == len(names)
    assert _distinct(["a", "a 1", "a"]) == ["a 2", "a 1", "a 3"]


def test_no_matches():
    with pytest.raises(ModelError, match="the student was given no matches"):
        Offline(net(), Frozen(net()), [])
    with pytest.raises(ModelError, match="the student was given no matches"):
        Alone(net(), [])


def test_a_student_alone_has_no_teacher():
    with pytest.raises(ModelError, match="SoftTarget compares the student with a teacher"):
        Alone(net(), [soft()])


def test_labels_that_are_missing():
    scheme = Alone(net(), [hard()])
    unlabelled = Examples(torch.randn(3, 2)).batch([0, 1])
    with pytest.raises(ModelError, match="the batch has none"):
        scheme.turns()[0].terms(unlabelled)


def test_frozen_parts_of_a_student_are_not_moved():
    student = net()
    student[0].requires_grad_(False)
    (turn,) = Alone(student, [hard()]).turns()
    assert {id(p) for p in turn.parameters} == {id(p) for p in student[2].parameters()}


# -- matches ----------------------------------------------------------------------------------------


def test_what_is_no_match():
    with pytest.raises(ModelError, match="expected an instance of a tutelage Loss"):
        Match(nn.CrossEntropyLoss())
    with pytest.raises(ModelError, match="Hint compares features, and no layer was named"):
        Match(feature.Hint())
    with pytest.raises(ModelError, match="names the hint 'x' and no guided layer"):
        Match(response.SoftTarget(temperature=2.0), hint="x")


def test_the_hint_is_by_default_the_same_path():
    assert Match(feature.Hint(), guided="layer1").hints == ("layer1",)
    assert Match(feature.Hint(), guided="layer1", hint="layer2").hints == ("layer2",)
    assert Match(feature.Hint(), guided="layer1").name == "Hint(layer1)"
    assert Match(feature.Hint(), guided="layer1", name="mine").name == "mine"


class Asked(Frozen):
    """Notes the threads that it was asked on."""

    threads: ClassVar[list[str]] = []

    def forward(self, batch: Batch) -> Outputs:
        self.threads.append(threading.current_thread().name)
        return super().forward(batch)


@pytest.mark.parametrize("early", [False, True])
def test_a_teacher_that_answers_ahead_teaches_the_same(early, tmp_path):
    def learnt(where: Path | None, *, ahead: bool, steps: int) -> torch.Tensor:
        with seeded(3):
            student, known = net(), Asked(net(8))
        scheme = Offline(student, Ahead(known) if ahead else known, [soft(), hard()])
        source = Examples(torch.linspace(-1, 1, 46).reshape(23, 2), torch.arange(23) % 3)
        fit(
            scheme.turns(),
            scheme.modules,
            Loader(source, batch_size=5, accumulate=2),
            TrainSettings(steps=steps, checkpoint_every=0),
            optimizers={"student": OptimizerSettings(name="adam", options={"lr": 0.1})},
            runtime=Runtime(cpu=True, quiet=True),
            folder=where,
        )
        return student[0].weight.detach()

    plain = learnt(None, ahead=False, steps=12)
    Asked.threads.clear()
    if early:  # stopped within an epoch, and taken up
        learnt(tmp_path, ahead=True, steps=7)
    found = learnt(tmp_path, ahead=True, steps=12)
    assert torch.equal(found, plain)
    assert len(Asked.threads) == 2 * 12 - 2  # two micro-batches a step, one in the last of an epoch
    assert all(name.startswith("teacher") for name in Asked.threads)


def test_who_does_not_ask_a_teacher_begins_nothing():
    (turn,) = Offline(net(), Ahead(Frozen(net())), [hard()]).turns()
    assert turn.ahead is None
