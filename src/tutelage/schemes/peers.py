"""Networks that hear one another: what they share, and what they say together."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.losses.reduction import check_labels, labelled, widen
from tutelage.match import Match
from tutelage.schemes.declared import Declared, Student, terms_of
from tutelage.schemes.learner import Learner
from tutelage.schemes.scheme import Scheme
from tutelage.types import Batch, Outputs

__all__ = ["Peers", "check_ensemble", "ensemble_of", "mean_of"]

_Stacked = Float[Tensor, "peers *items classes"]


class Peers(Scheme):
    """Two or more networks, each with its own copy of the terms, each handed over, each hearing the others.

    Args:
        networks: by name; they answer about the same classes.
        matches: the terms of each.

    Raises:
        ModelError: fewer than two networks, or a term that looks at a teacher's layers.
    """

    def __init__(self, networks: Mapping[str, nn.Module], matches: Sequence[Match]) -> None:
        own = type(self).__name__
        if len(networks) < 2:
            raise ModelError(
                f"{own} came with the networks {list(networks)}; it needs two or more: add one, "
                "`networks: {peer: {model: …}}`"
            )
        _refuse_layers(matches, own)
        self.peers = [
            Learner(name, network, matches if number == 0 else copy.deepcopy(list(matches)), alone=False)
            for number, (name, network) in enumerate(networks.items())
        ]
        self.student = self.peers[0].network

    @classmethod
    def declare(cls, matches: Sequence[Match], networks: Sequence[str], **options: Any) -> Declared:  # noqa: ARG003
        """Each network is handed over, and nobody else is asked; each answers all others."""
        return Declared(
            tuple(Student(name, name) for name in networks),
            asks="nobody",
            terms=terms_of(matches),
            passes=_passes_of(len(networks), matches),
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

    @abstractmethod
    def observe(self, peer: Learner, batch: Batch) -> tuple[Outputs, Outputs | None]:
        """What a peer says about a batch, and whom it follows."""

    def _terms(self, peer: Learner, batch: Batch) -> dict[str, Tensor]:
        return peer.terms(*self.observe(peer, batch), batch)

    def _fit(self, batch: Batch) -> None:
        for peer in self.peers:
            peer.fit(*self.observe(peer, batch), batch)


def mean_of(answers: Mapping[str, Outputs]) -> Outputs:
    """The logarithm of the mean of probabilities, its own log-softmax; of one answer itself.

    Args:
        answers: by the names of the peers.

    Raises:
        ModelError: an answer without logits, or peers with different numbers of classes.
    """
    if len(answers) == 1:
        return next(iter(answers.values()))
    log_probs = _stacked(answers).log_softmax(-1)
    return Outputs(log_probs.logsumexp(0) - math.log(len(log_probs)))


def ensemble_of(answers: Mapping[str, Outputs], batch: Batch, kind: str) -> Outputs:
    """Logits that stand for those of all peers, without a gradient.

    Args:
        answers: by the names of the peers.
        batch: whose labels tell which answers are right.
        kind: "naive" takes for each item the logits of the peer with the least cross-entropy; "min_logit" the
            least logit of each class, after that of the label is subtracted; "mean" the mean logits. An item
            without a label gets the mean from all of them.

    Raises:
        ModelError: no labels, answers without logits, or peers with different numbers of classes.
        UnknownName: another kind.

    Source:
        Guo et al., Online Knowledge Distillation via Collaborative Learning, CVPR 2020, section 3.3:
        KDCL-Naive, KDCL-MinLogit, and KDCL-Linear with equal weights.

    Example:
        >>> answers = {"one": Outputs(torch.tensor([[3.0, 1.0]])), "two": Outputs(torch.tensor([[2.0, 1.5]]))}
        >>> batch = Batch(torch.zeros(1, 1), torch.arange(1), labels=torch.tensor([0]))
        >>> ensemble_of(answers, batch, "min_logit").logits
        tensor([[ 0., -2.]])
    """
    check_ensemble(kind)
    logits = _stacked(answers).detach()
    mean = logits.mean(0)
    if kind == "mean":
        return Outputs(mean)
    if batch.labels is None:
        raise ModelError(
            f"the ensemble {kind} is made by labels, and the batch has none; give labelled data, or "
            "`ensemble: mean`"
        )
    check_labels(mean, batch.labels)
    known = labelled(batch.labels, batch.mask)
    labels = torch.where(known, batch.labels, 0).long()
    found = _BY_LABELS[kind](logits, labels)
    return Outputs(torch.where(known.unsqueeze(-1), found, mean))


def check_ensemble(kind: str) -> None:
    """Refuse a kind of ensemble that is not there."""
    if kind not in ("mean", *_BY_LABELS):
        raise UnknownName("ensemble", str(kind), [*_BY_LABELS, "mean"])


def _passes_of(peers: int, matches: Sequence[Match]) -> int:
    """Forward passes of a step in which so many peers answer one another."""
    return peers * (peers - 1) if any(match.needs_teacher for match in matches) else 0


def _refuse_layers(matches: Sequence[Match], who: str) -> None:
    """Refuse a term that looks at layers of several networks at once.

    Args:
        matches: the terms.
        who: the scheme, for messages.
    """
    for match in matches:
        if match.needs_teacher and (match.hints or match.stages):
            raise ModelError(
                f"{match.name} looks at layers of a teacher, and the mean over peers has logits alone; give "
                f"{who} terms on logits, such as response.SoftTarget"
            )


def _naive(logits: _Stacked, labels: Integer[Tensor, "*items"]) -> Float[Tensor, "*items classes"]:
    best = _at(logits.log_softmax(-1), labels).argmax(0, keepdim=True)
    return logits.gather(0, best.expand(1, *logits.shape[1:])).squeeze(0)


def _min_logit(logits: _Stacked, labels: Integer[Tensor, "*items"]) -> Float[Tensor, "*items classes"]:
    return (logits - _at(logits, labels)).amin(0)


_BY_LABELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"naive": _naive, "min_logit": _min_logit}


def _at(logits: _Stacked, labels: Integer[Tensor, "*items"]) -> Float[Tensor, "peers *items 1"]:
    """What stands at the label of each item."""
    where = labels.unsqueeze(-1).expand(len(logits), *labels.shape, 1)
    return logits.gather(-1, where)


def _stacked(answers: Mapping[str, Outputs]) -> _Stacked:
    found = {name: _logits(name, answer) for name, answer in answers.items()}
    shapes = {name: list(logits.shape) for name, logits in found.items()}
    if len({tuple(shape) for shape in shapes.values()}) > 1:
        raise ModelError(
            f"peers answer with logits of different shapes: {shapes}; give them the same classes"
        )
    return torch.stack([widen(logits) for logits in found.values()])


def _logits(name: str, answer: Outputs) -> Tensor:
    logits = answer.logits if answer.head is None else answer.head.whole()
    if logits is None:
        raise ModelError(f"the {name} answers without logits, of which a mean is taken; give it a head")
    return logits
