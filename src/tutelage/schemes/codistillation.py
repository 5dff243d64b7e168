"""Networks that learn apart, and hear stale copies of one another."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.match import Match
from tutelage.schemes.declared import Declared
from tutelage.schemes.learner import Learner
from tutelage.schemes.peers import Peers, mean_of
from tutelage.teachers import Frozen
from tutelage.types import Batch, Exchange, Moment, Outputs, Turn

__all__ = ["Codistillation"]


class Codistillation(Peers):
    """Codistillation: each peer follows labels, and what copies of the other peers from a while ago say.

    What a peer predicts changes more slowly than its weights, so that a copy of some steps ago teaches about
    as well as the peer itself. Peers in several processes then exchange weights seldom, where training on
    parts of a batch exchanges gradients at each step: each process trains peers of its own on whole batches,
    as long as there are no more processes than peers.

    A term that needs a teacher gets the copies of the other peers: with two peers the other one's answer,
    with more the logarithm of the mean of their probabilities. Copies are made anew every so many steps.
    Until the first of them nobody is heard: the peers of the start know nothing. The control is the same
    scheme without these terms.

    Args:
        networks: the peers by name, all networks of the recipe, two or more, equal or different; they answer
            about the same classes.
        matches: the terms; each peer has its own copy of them.
        every: steps from one copy to the next, 1 or more.
        burn_in: steps before peers are heard, where that is longer than `every`.

    Raises:
        ModelError: fewer than two networks, peers with different numbers of classes, a term that looks at a
            teacher's layers, or numbers of steps that are not there.

    Source:
        Anil, Pereyra, Passos, Ormandi, Dahl & Hinton, Large Scale Distributed Neural Network Training through
        Online Distillation, ICLR 2018, algorithm 1. Their ψ is the cross-entropy to the mean prediction,
        which has the gradient of `response.SoftTarget(temperature=1.0)`. Differences: peers see the same
        batches, in the paper of different data too; all copies are made on the same step, and come from the
        processes themselves in place of files; a peer is one process, in the paper a group of them.

    Example:
        >>> from tutelage.losses import response
        >>> peers = {"student": nn.Linear(4, 3), "peer": nn.Linear(4, 3)}
        >>> terms = [Match(response.SoftTarget(temperature=1.0)), Match(response.HardLabel())]
        >>> turns = Codistillation(peers, terms, every=20).turns()
        >>> [(turn.name, turn.exchange.every) for turn in turns]
        [('student', 20), ('peer', 20)]
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        matches: Sequence[Match],
        *,
        every: int = 50,
        burn_in: int = 0,
    ) -> None:
        _check_steps(every, burn_in)
        super().__init__(networks, matches)
        self.every, self.silent = every, max(every, burn_in)
        self.asks = self.peers[0].asks
        self.copies = {one.name: Frozen(copy.deepcopy(one.network)) for one in self.peers if self.asks}
        self._heard = False

    @classmethod
    def declare(
        cls,
        matches: Sequence[Match],
        networks: Sequence[str],
        every: int = 50,
        burn_in: int = 0,
        **options: Any,  # noqa: ARG003
    ) -> Declared:
        """As all peers do; it is a copy that answers."""
        _check_steps(every, burn_in)
        return super().declare(matches, networks)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The peers, each with its matches, and their copies."""
        return {**super().modules, **{f"{name}_copy": copied for name, copied in self.copies.items()}}

    def turns(self) -> Sequence[Turn]:
        """One turn a peer, in the order of the networks."""
        return [self._turn(peer) for peer in self.peers]

    def observe(self, peer: Learner, batch: Batch) -> tuple[Outputs, Outputs | None]:
        """What a peer says about a batch, and what copies of the others say on average."""
        return peer.ask(batch), self._others(peer, batch) if self.asks else None

    def _turn(self, peer: Learner) -> Turn:
        turn = peer.turn(partial(self._terms, peer), before=self._listen, after=partial(self._copy, peer))
        exchange = Exchange(list(peer.modules.values()), self.every if self.asks else None)
        return replace(turn, exchange=exchange)

    def _listen(self, moment: Moment) -> None:
        self._heard = moment.step >= self.silent

    def _copy(self, peer: Learner, moment: Moment) -> None:
        """Copy a peer when it is time."""
        if self.asks and moment.step % self.every == 0:
            self.copies[peer.name].network.load_state_dict(peer.network.state_dict())

    def _terms(self, peer: Learner, batch: Batch) -> dict[str, Tensor]:
        own, others = self.observe(peer, batch)
        if others is not None and not self._heard:
            others = replace(others, mask=torch.zeros(len(batch), dtype=torch.bool, device=batch.ids.device))
        return peer.terms(own, others, batch)

    def _others(self, peer: Learner, batch: Batch) -> Outputs:
        answers = {}
        for other in self.peers:
            if other is not peer:
                self.copies[other.name].reads = other.reads
                answers[other.name] = cast(Outputs, self.copies[other.name](batch))
        return mean_of(answers)


def _check_steps(every: int, burn_in: int) -> None:
    for name, steps, least in (("every", every, 1), ("burn_in", burn_in, 0)):
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < least:
            raise ModelError(f"{name} came as {steps!r}; expected a whole number of steps, {least} or more")
