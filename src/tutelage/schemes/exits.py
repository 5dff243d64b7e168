"""A network that teaches its own early exits."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from torch import Tensor, nn

from tutelage.capture import capture, check_layers
from tutelage.data import reading
from tutelage.errors import ModelError
from tutelage.match import Match
from tutelage.schemes.declared import Declared, Student, terms_of
from tutelage.schemes.learner import Learner
from tutelage.schemes.scheme import Scheme
from tutelage.types import Batch, Outputs, Turn

__all__ = ["EndsEarly", "Exits"]


class EndsEarly(Protocol):
    """A network of which a part can be used alone."""

    def ending_at(self, exit_: str) -> nn.Module:
        """The part that ends at an exit, on the same weights: it computes no more than it needs."""
        ...

    def stopping(self, threshold: float) -> nn.Module:
        """The network that stops at the first exit whose top probability is above the threshold."""
        ...


class Exits(Scheme):
    """Be Your Own Teacher (BYOT): early exits of a network learn from labels and from its deepest exit.

    The deepest exit is the best of them and is there anyway, so it teaches the others at no cost, and what
    serves the exits serves the layers below all of them. Each exit is handed over as a network of its own,
    which ends there; the whole is handed over too. The control is the same network with labels at each exit
    and nothing that looks at the deepest one.

    On-the-fly native ensemble (ONE) is the same with branches in the exits' place: the network's own answer
    is an ensemble of its branches, weighed by a gate (`mlp_with_branches`), and teaches each of them.

    Args:
        student: a network that answers with a mapping: "logits" is the deepest answer, the others have the
            names of their exits; `ending_at(name)` gives the part that ends at one (see `EndsEarly`), as
            `mlp_with_exits` does.
        matches: the terms. One without `guided` stands at each early exit; if it needs no teacher, at the
            deepest as well. The teacher of one that needs one is the deepest exit, without a gradient. One
            with `guided` stands where it says (`:output.exit1` for logits); its `hint` is a layer of the same
            network.
        early: the names of the early exits.
        thresholds: of the top probability. For each the network is handed over once more, as one that stops
            at the first exit that is surer than this: `stopping(threshold)` gives it (see `EndsEarly`).

    Raises:
        ModelError: no exits, or one twice; a threshold out of range; a network that cannot be cut; a term
            that compares a layer with itself.
        UnknownName: the network has no such exit.

    Source:
        Zhang et al. 2019, "Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via
        Self Distillation", section 3. Labels, soft labels and hints are `response.HardLabel`,
        `response.SoftTarget` and `feature.Hint` here, with weights written out for 1 − α, α and λ.
        Differences: a term without `guided` weighs the same at each exit, where the paper gives labels the
        weight 1 at the deepest (`guided: ":output.logits"` writes that); soft labels are multiplied by the
        squared temperature; a projector brings features to one shape, in place of the exits' bottlenecks.

        Lan, Zhu & Gong 2018, "Knowledge Distillation by On-the-Fly Native Ensemble", equation 8: a
        `response.HardLabel` and a `response.SoftTarget` of temperature 3, both of weight 1. Differences: no
        gradient of the soft labels reaches the ensemble, whose gate learns by the labels.
    """

    def __init__(
        self,
        student: nn.Module,
        matches: Sequence[Match],
        early: Sequence[str],
        thresholds: Sequence[float] = (),
    ) -> None:
        placed = _placed(matches, early)
        for exit_ in early:
            _part(student, exit_)
        for threshold in thresholds:
            _stopping(student, threshold)
        _check_hints(placed)
        self.student, self.early = student, list(early)
        self.learner = Learner("student", student, placed)
        check_layers(student, self.learner.hints, who="student")

    @classmethod
    def declare(cls, matches: Sequence[Match], networks: Sequence[str], **options: Any) -> Declared:  # noqa: ARG003
        """The whole network, a part of it for each exit, one that stops early for each threshold."""
        early = list(options.get("early", ()))
        parts = [Student(name, "student", partial(_part, exit_=name)) for name in early]
        parts += [
            Student(f"early {threshold:g}", "student", partial(_stopping, threshold=threshold))
            for threshold in options.get("thresholds", ())
        ]
        terms = terms_of(_placed(matches, early))
        return Declared([Student("student", "student"), *parts], asks="nobody", terms=terms)

    @classmethod
    def without_teacher(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The same exits: labels at each of them are left."""
        return dict(settings)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The network and its matches."""
        return self.learner.modules

    @property
    def learners(self) -> Sequence[Learner]:
        """The one network."""
        return [self.learner]

    def observe(self, batch: Batch) -> tuple[Outputs, Outputs]:
        """What the network says, at all exits; and what the deepest one says, without a gradient."""
        layers = sorted({*self.learner.layers, *self.learner.hints})
        own = capture(self.student, reading(batch, self.learner.reads).inputs, layers)
        deepest = replace(
            own,
            logits=None if own.logits is None else own.logits.detach(),
            features={hint: own.features[hint].detach() for hint in self.learner.hints},
            head=None if own.head is None else own.head.detach(),
        )
        return own, deepest

    def turns(self) -> Sequence[Turn]:
        """One turn: all exits learn at once."""
        return [self.learner.turn(self._terms)]

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        return self.learner.terms(*self.observe(batch), batch)

    def _fit(self, batch: Batch) -> None:
        self.learner.fit(*self.observe(batch), batch)


def _placed(matches: Sequence[Match], early: Sequence[str]) -> list[Match]:
    """The terms at their exits: one that says no place gets a copy for each."""
    if not early or len(set(early)) < len(early):
        raise ModelError(f"early came as {list(early)}; name the early exits of the network, each once")
    placed = []
    for match in matches:
        spread = not match.guided and match.stages is None
        if not (spread and match.needs_teacher):
            placed.append(match)
        if spread:
            placed += [_at(match, exit_) for exit_ in early]
    return placed


def _at(match: Match, exit_: str) -> Match:
    copied = copy.deepcopy(match)
    copied.guided = (f":output.{exit_}",)
    copied.name = f"{match.name} {exit_}"
    return copied


def _part(network: nn.Module, exit_: str) -> nn.Module:
    """The part of a network that ends at an exit."""
    cut = getattr(network, "ending_at", None)
    if cut is None:
        raise ModelError(
            f"{type(network).__name__} cannot be cut at {exit_}: give it a method `ending_at(exit_)` that "
            "returns the part that ends there, or take a model such as mlp_with_exits"
        )
    part: nn.Module = cut(exit_)
    return part


def _stopping(network: nn.Module, threshold: float) -> nn.Module:
    """The network that stops where it is surer than a threshold."""
    stop = getattr(network, "stopping", None)
    if stop is None:
        raise ModelError(
            f"{type(network).__name__} cannot stop early: give it a method `stopping(threshold)`, take a "
            "model such as with_exits, or leave thresholds out"
        )
    stopped: nn.Module = stop(threshold)
    return stopped


def _check_hints(matches: Sequence[Match]) -> None:
    """Refuse a term that is zero whatever the network says."""
    for match in matches:
        same = bool(match.guided) and match.guided == match.hints
        if match.needs_teacher and (match.stages is not None or same):
            raise ModelError(
                f"{match.name} compares layers of the network with themselves; name two layers, `guided` an "
                "early one and `hint` a deeper one"
            )
