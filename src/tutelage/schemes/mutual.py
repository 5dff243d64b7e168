"""Networks that learn together and teach one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from tutelage.match import Match
from tutelage.modes import evaluating
from tutelage.schemes.declared import Declared
from tutelage.schemes.learner import Learner
from tutelage.schemes.peers import Peers, check_ensemble, ensemble_of, mean_of
from tutelage.types import Batch, Outputs, Turn

__all__ = ["Mutual"]


class Mutual(Peers):
    """Deep mutual learning (DML): each peer follows labels, and what the other peers say on average.

    Nobody is trained beforehand. Peers that begin differently err differently, and each learns from the
    others which wrong classes are likely. They move one after the other on each batch, so that the second
    one already hears what the first one has learnt from it.

    A term that needs a teacher gets the mean of the other peers: with two peers the other one's own answer,
    with more the logarithm of the mean of their probabilities. With `ensemble` it gets an ensemble of all
    peers, the one that learns among them (KDCL). The peers that answer are in eval mode, and no gradient
    reaches them. The control is the same scheme without these terms.

    Args:
        networks: the peers by name, all networks of the recipe, two or more, equal or different; they answer
            about the same classes.
        matches: the terms; each peer has its own copy of them.
        ensemble: how all peers' logits become the one answer that each follows: "naive", for each item those
            of the peer with the least cross-entropy; "min_logit", for each class the least one after that of
            the label is subtracted; "mean". An item without a label gets the mean. None for the mean of the
            others' probabilities.

    Raises:
        ModelError: fewer than two networks, peers with different numbers of classes, a term that looks at a
            teacher's layers, of which a mean has none, or an ensemble that needs labels where there are none.
        UnknownName: another ensemble.

    Source:
        Zhang, Xiang, Hospedales & Lu, Deep Mutual Learning, CVPR 2018, algorithm 1, with a
        `response.SoftTarget` of temperature 1 and a `response.HardLabel`, both of weight 1. Differences: the
        mean of the others' probabilities stands in place of the mean of the divergences, which at
        temperature 1 has the same gradient; peers answer in eval mode, without dropout and with the running
        statistics of batch norm; each peer's weights are chosen by its own validation metric.

        With `ensemble`: Guo et al., Online Knowledge Distillation via Collaborative Learning, CVPR 2020,
        section 3, with a `response.SoftTarget` of temperature 2 and a `response.HardLabel`. Differences:
        peers move one after the other and see one view of an image, where each has its own in the paper; the
        others answer in eval mode; "mean" is their linear way with equal weights. Weights solved for each
        batch (KDCL-Linear) are not here, since a batch in parts would have others, and neither are weights
        by errors on held-out data (KDCL-General), which a scheme does not see.

    Example:
        >>> from tutelage.losses import response
        >>> peers = {"student": nn.Linear(4, 3), "peer": nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))}
        >>> terms = [Match(response.SoftTarget(temperature=1.0)), Match(response.HardLabel())]
        >>> [turn.name for turn in Mutual(peers, terms).turns()]
        ['student', 'peer']
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], matches: Sequence[Match], *, ensemble: str | None = None
    ) -> None:
        _check(ensemble)
        super().__init__(networks, matches)
        self.ensemble = ensemble

    @classmethod
    def declare(
        cls,
        matches: Sequence[Match],
        networks: Sequence[str],
        ensemble: str | None = None,
        **options: Any,  # noqa: ARG003
    ) -> Declared:
        """As all peers do."""
        _check(ensemble)
        return super().declare(matches, networks)

    def turns(self) -> Sequence[Turn]:
        """One turn a peer, in the order of the networks."""
        return [peer.turn(partial(self._terms, peer)) for peer in self.peers]

    def observe(self, peer: Learner, batch: Batch) -> tuple[Outputs, Outputs | None]:
        """What a peer says about a batch, and whom it follows; the others are not asked in vain."""
        others = self._others(peer, batch) if peer.asks else {}
        own = peer.ask(batch)
        if not others:
            return own, None
        if self.ensemble is None:
            return own, mean_of(others)
        return own, ensemble_of({peer.name: own, **others}, batch, self.ensemble)

    def _others(self, peer: Learner, batch: Batch) -> dict[str, Outputs]:
        others = [other for other in self.peers if other is not peer]
        with torch.no_grad(), evaluating(*(other.network for other in others)):
            return {other.name: other.ask(batch) for other in others}


def _check(ensemble: str | None) -> None:
    if ensemble is not None:
        check_ensemble(ensemble)
