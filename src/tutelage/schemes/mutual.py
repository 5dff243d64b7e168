"""Networks that learn together and teach one another."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.losses.reduction import widen
from tutelage.match import Match
from tutelage.modes import evaluating
from tutelage.schemes.declared import Declared, Student, terms_of
from tutelage.schemes.learner import Learner
from tutelage.schemes.scheme import Scheme
from tutelage.types import Batch, Outputs, Turn

__all__ = ["Mutual"]


class Mutual(Scheme):
    """Deep mutual learning (DML): each peer follows labels, and what the other peers say on average.

    Nobody is trained beforehand. Peers that begin differently err differently, and each learns from the
    others which wrong classes are likely. They move one after the other on each batch, so that the second
    one already hears what the first one has learnt from it.

    A term that needs a teacher gets the mean of the other peers: with two peers the other one's own answer,
    with more the logarithm of the mean of their probabilities. The peers that answer are in eval mode, and no
    gradient reaches them. The control is the same scheme without these terms.

    Args:
        networks: the peers by name, all networks of the recipe, two or more, equal or different; they answer
            about the same classes.
        matches: the terms; each peer has its own copy of them.

    Raises:
        ModelError: fewer than two networks, peers with different numbers of classes, or a term that looks at
            a teacher's layers, of which a mean has none.

    Source:
        Zhang, Xiang, Hospedales & Lu, Deep Mutual Learning, CVPR 2018, algorithm 1, with a
        `response.SoftTarget` of temperature 1 and a `response.HardLabel`, both of weight 1. Differences: the
        mean of the others' probabilities stands in place of the mean of the divergences, which at
        temperature 1 has the same gradient; peers answer in eval mode, without dropout and with the running
        statistics of batch norm; each peer's weights are chosen by its own validation metric.

    Example:
        >>> from tutelage.losses import response
        >>> peers = {"student": nn.Linear(4, 3), "peer": nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))}
        >>> terms = [Match(response.SoftTarget(temperature=1.0)), Match(response.HardLabel())]
        >>> [turn.name for turn in Mutual(peers, terms).turns()]
        ['student', 'peer']
    """

    def __init__(self, networks: Mapping[str, nn.Module], matches: Sequence[Match]) -> None:
        if len(networks) < 2:
            raise ModelError(
                f"Mutual came with the networks {list(networks)}; it needs two or more: add one, "
                "`networks: {peer: {model: …}}`"
            )
        _refuse_layers(matches)
        self.peers = [
            Learner(name, network, matches if number == 0 else copy.deepcopy(list(matches)), alone=False)
            for number, (name, network) in enumerate(networks.items())
        ]
        self.student = self.peers[0].network

    @classmethod
    def declare(cls, matches: Sequence[Match], networks: Sequence[str], **options: Any) -> Declared:  # noqa: ARG003
        """Each network is handed over, and nobody else is asked."""
        return Declared(
            tuple(Student(name, name) for name in networks), asks="nobody", terms=terms_of(matches)
        )

    @classmethod
    def without_teacher(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The same peers; with terms that need no teacher each learns for itself."""
        return dict(settings)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The peers, each with its matches."""
        return {name: module for peer in self.peers for name, module in peer.modules.items()}

    @property
    def learners(self) -> Sequence[Learner]:
        """The peers."""
        return self.peers

    def turns(self) -> Sequence[Turn]:
        """One turn a peer, in the order of the networks."""
        return [peer.turn(partial(self._terms, peer)) for peer in self.peers]

    def observe(self, peer: Learner, batch: Batch) -> tuple[Outputs, Outputs | None]:
        """What a peer says about a batch, and the others' mean, for which they are not asked in vain."""
        others = self._others(peer, batch) if peer.asks else None
        return peer.ask(batch), others

    def _terms(self, peer: Learner, batch: Batch) -> dict[str, Tensor]:
        return peer.terms(*self.observe(peer, batch), batch)

    def _others(self, peer: Learner, batch: Batch) -> Outputs:
        others = [other for other in self.peers if other is not peer]
        with torch.no_grad(), evaluating(*(other.network for other in others)):
            answers = {other.name: other.ask(batch) for other in others}
        return _mean(answers)

    def _fit(self, batch: Batch) -> None:
        for peer in self.peers:
            peer.fit(*self.observe(peer, batch), batch)


def _mean(answers: Mapping[str, Outputs]) -> Outputs:
    """The logarithm of the mean of probabilities, its own log-softmax; of one answer itself."""
    if len(answers) == 1:
        return next(iter(answers.values()))
    found = {name: _logits(name, answer) for name, answer in answers.items()}
    shapes = {name: list(logits.shape) for name, logits in found.items()}
    if len({tuple(shape) for shape in shapes.values()}) > 1:
        raise ModelError(
            f"peers answer with logits of different shapes: {shapes}; give them the same classes"
        )
    log_probs = torch.stack([widen(logits).log_softmax(-1) for logits in found.values()])
    return Outputs(log_probs.logsumexp(0) - math.log(len(log_probs)))


def _logits(name: str, answer: Outputs) -> Tensor:
    logits = answer.logits if answer.head is None else answer.head.whole()
    if logits is None:
        raise ModelError(f"the {name} answers without logits, of which a mean is taken; give it a head")
    return logits


def _refuse_layers(matches: Sequence[Match]) -> None:
    for match in matches:
        if match.needs_teacher and (match.hints or match.stages):
            raise ModelError(
                f"{match.name} looks at layers of a teacher, and the mean over peers has logits alone; give "
                "Mutual terms on logits, such as response.SoftTarget"
            )
