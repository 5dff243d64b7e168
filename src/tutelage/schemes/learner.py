"""A network that learns by matches: the part that schemes share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import cast

from torch import Tensor, nn

from tutelage.balancing import Share, balance
from tutelage.capture import capture, check_layers
from tutelage.data import reading
from tutelage.errors import ModelError
from tutelage.match import Match
from tutelage.match.common import in_common
from tutelage.types import Batch, Moment, Outputs, Timed, Turn

__all__ = ["Learner"]


def _nothing(moment: Moment) -> None:
    """What most networks do between steps."""


class Learner:
    """A network, the terms it learns by, and the turn in which it does.

    Args:
        name: of the network, and of its turn.
        network: what learns.
        matches: the terms; two of one name get a number.
        alone: whether it is its scheme's only learner, whose matches are stored as `matches`.
    """

    reads: Sequence[str] | None = None
    """The inputs that the network reads, where a task says so."""

    def __init__(
        self, name: str, network: nn.Module, matches: Sequence[Match], *, alone: bool = True
    ) -> None:
        if not matches:
            raise ModelError(f"the {name} was given no matches; give it at least one")
        self.name, self.network = name, network
        self.matches = nn.ModuleList(matches)
        self.names = _distinct([match.name for match in matches])
        self.layers = sorted({layer for match in matches for layer in match.guided})
        self._key = "matches" if alone else f"{name}_matches"
        check_layers(network, self.layers, who=name)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained and stored, by name; the network first."""
        return {self.name: self.network, self._key: self.matches}

    @property
    def each(self) -> list[Match]:
        """The matches."""
        return [cast(Match, match) for match in self.matches]

    @property
    def asks(self) -> bool:
        """Whether any term looks at a teacher."""
        return any(match.needs_teacher for match in self.each)

    @property
    def hints(self) -> list[str]:
        """The teacher's layers that terms look at."""
        return sorted({hint for match in self.each if match.needs_teacher for hint in match.hints})

    def ask(self, batch: Batch) -> Outputs:
        """What the network says about a batch, of which it reads what is its own."""
        return capture(self.network, reading(batch, self.reads).inputs, self.layers)

    def terms(self, own: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms, by name."""
        shared = in_common(own, teacher, self.known)
        return {
            name: match(*(shared if _by_class(match) else (own, teacher)), batch)
            for name, match in zip(self.names, self.each, strict=True)
        }

    @property
    def known(self) -> int | None:
        """How many of the network's classes stand for something, where it says so; the rest is filling."""
        held = getattr(self.network, "known_classes", None)
        return held if isinstance(held, int) else None

    def pair_stages(self, own: Sequence[str], teacher: Sequence[str]) -> None:
        """Name the layers of matches by stages."""
        for match in self.each:
            match.pair_stages(own, teacher)
        self.layers = sorted({layer for match in self.each for layer in match.guided})

    def fit(self, own: Outputs, teacher: Outputs | None, batch: Batch) -> None:
        """Fit projectors and losses to the shapes of a dry run.

        Raises:
            ModelError: logits are compared, and the two have different numbers of classes.
        """
        shared = in_common(own, teacher, self.known)
        for match in self.each:
            if _by_class(match):
                _check_classes(self.name, *shared)
            match.fit(*(shared if _by_class(match) else (own, teacher)))
            match.to(batch.ids.device)

    def turn(
        self,
        terms: Callable[[Batch], dict[str, Tensor]],
        *,
        parameters: Sequence[nn.Parameter] | None = None,
        before: Callable[[Moment], None] = _nothing,
        after: Callable[[Moment], None] = _nothing,
    ) -> Turn:
        """The move of this network.

        Args:
            terms: a batch -> what is minimised, by name.
            parameters: what is moved; by default all of the network and its matches that is not frozen.
            before, after: told how far the training is.
        """
        timed = [module for module in self.network.modules() if isinstance(module, Timed)]
        held = [p for module in self.modules.values() for p in module.parameters()]

        def begin(moment: Moment) -> None:
            for module in timed:
                module.at_moment(moment)
            for match in self.each:
                match.begin(moment)
            before(moment)

        return Turn(
            self.name,
            [p for p in (held if parameters is None else parameters) if p.requires_grad],
            terms,
            before=begin,
            after=after,
            weights=lambda: {name: match.weight.now for name, match in self._by_name().items()},
            sees=self.ask,
            balance=_Balance.of(self._by_name()),
        )

    def _by_name(self) -> dict[str, Match]:
        return dict(zip(self.names, self.each, strict=True))


class _Balance:
    """Moves the weights that follow the norms of gradients."""

    def __init__(self, matches: Mapping[str, Match], every: int) -> None:
        self.matches, self.every = matches, every

    @classmethod
    def of(cls, matches: Mapping[str, Match]) -> _Balance | None:
        every = [match.weight.every for match in matches.values() if isinstance(match.weight, Share)]
        return cls(matches, min(every)) if every else None

    def __call__(self, norms: Mapping[str, float]) -> Mapping[str, float]:
        weights = {name: match.weight for name, match in self.matches.items()}
        return balance(weights, {name: norm for name, norm in norms.items() if name in weights})


def _distinct(names: Sequence[str]) -> list[str]:
    total, taken = Counter(names), {name for name in names if names.count(name) == 1}
    distinct = []
    for name in names:
        free = (new for number in count(1) if (new := f"{name} {number}") not in taken)
        distinct.append(name if total[name] == 1 else next(free))
        taken.add(distinct[-1])
    return distinct


def _by_class(match: Match) -> bool:
    """Whether student and teacher are compared class by class."""
    return match.compares_logits and not match.loss.any_widths


def _check_classes(who: str, own: Outputs, teacher: Outputs | None) -> None:
    if own.logits is None or teacher is None or teacher.logits is None:
        return
    ours, theirs = own.logits.shape[-1], teacher.logits.shape[-1]
    if ours != theirs:
        raise ModelError(
            f"the {who} answers with {ours} classes and the teacher with {theirs}; they must be the same. "
            f"Give the {who} a head of {theirs} classes, or match features instead of logits"
        )
