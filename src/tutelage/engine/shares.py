"""How much of a turn's gradient each of its terms makes: a weight says little, its gradient says all.

Measured at steps 1, 2, 5, 10, 20, 50 …, and as often as a balance asks: there, and only there, each term
has a backward of its own, and the gradients are added.
"""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.engine.parallel import Runtime
from tutelage.engine.sharding import is_sharded
from tutelage.errors import TutelageWarning
from tutelage.types import Turn

__all__ = ["Apart", "Shares", "backward"]

INERT = 0.01
"""The share of the gradient's norm below which a term hardly counts."""

_LOOKS = 3


class Shares:
    """The shares of the terms of some turns, and warnings about them.

    Args:
        turns: whose terms are looked at.
    """

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.every = {turn.name: turn.balance.every for turn in turns if turn.balance is not None}
        self.last: dict[str, float] = {}
        self.seen: dict[str, tuple[int, float]] = {}  # looks, and their mean
        self.warned: list[str] = []

    def due(self, turn: Turn, step: int) -> bool:
        """Whether the terms of a turn are looked at on this step."""
        every = self.every.get(turn.name)
        return _round(step) or (every is not None and (step - 1) % every == 0)

    def apart(self, turn: Turn, step: int) -> Apart | None:
        """Where the terms' gradients are kept apart on this step; None where they are not looked at."""
        looks = self.due(turn, step) and not is_sharded(turn.parameters)
        return Apart(turn.parameters) if looks else None

    def note(self, turn: Turn, norms: Mapping[str, float]) -> Mapping[str, float]:
        """Keep the shares, tell the turn's balance, and warn of a term that hardly counts.

        Returns:
            What the balance multiplies terms by, by their names.
        """
        whole = sum(norms.values())
        if len(norms) < 2 or whole == 0:
            return {}
        for name, norm in norms.items():
            key = f"{turn.name}/{name}"
            self.last[key] = norm / whole
            looks, mean = self.seen.get(key, (0, 0.0))
            self.seen[key] = (looks + 1, mean + (norm / whole - mean) / (looks + 1))
        self._warn([f"{turn.name}/{name}" for name in norms])
        return {} if turn.balance is None else turn.balance(norms)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"last": self.last, "seen": self.seen, "warned": self.warned}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.last, self.seen = dict(state["last"]), {k: (v[0], v[1]) for k, v in state["seen"].items()}
        self.warned = list(state["warned"])

    def _warn(self, names: Sequence[str]) -> None:
        """Warn of means since the start: a term that fades because it is learned has counted before."""
        means = {name: self.seen[name][1] for name in names if self.seen[name][0] >= _LOOKS}
        for name, mean in means.items():
            if not 0 < mean < INERT or name in self.warned:
                continue
            most = max(means, key=means.__getitem__)
            self.warned.append(name)
            said = (
                f"{_term(name)} is inert beside {_term(most)}, or {_term(most)} drowns it: of the gradient's "
                f"norm {mean:.2%} and {means[most]:.1%} are theirs. Raise the weight of the one or lower "
                "that of the other, or let a share set it (weight: {share: {part: 0.3}})"
            )
            warnings.warn(said, TutelageWarning, stacklevel=2)


class Apart:
    """One backward for each term, the gradients kept apart until they are added.

    Args:
        parameters: whose gradients are kept.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.parts: dict[str, list[Tensor | None]] = {}

    def backward(self, terms: Mapping[str, Tensor], share: float) -> None:
        """Add a micro-batch's gradients; `share` is its part of the global batch."""
        live = {name: term for name, term in terms.items() if term.requires_grad}
        before = [parameter.grad for parameter in self.parameters]
        for left, (name, term) in zip(range(len(live) - 1, -1, -1), live.items(), strict=True):
            self._clear()
            torch.autograd.backward(term * share, retain_graph=left > 0)
            held = self.parts.get(name, [None] * len(self.parameters))
            self.parts[name] = [_plus(part, p.grad) for part, p in zip(held, self.parameters, strict=True)]
        for parameter, gradient in zip(self.parameters, before, strict=True):
            parameter.grad = gradient

    def add(self, factors: Mapping[str, float]) -> None:
        """Leave the sums in the parameters, each term multiplied by its factor, if it has one."""
        for index, parameter in enumerate(self.parameters):
            for name, part in self.parts.items():
                held, factor = part[index], factors.get(name, 1.0)
                parameter.grad = _plus(parameter.grad, held if held is None or factor == 1 else held * factor)

    def norms(self, runtime: Runtime) -> dict[str, float]:
        """The norm of each term's gradient over the global batch.

        Only parameters that more than one term moves are counted: a projector, which one term alone moves,
        says nothing about who moves the student.
        """
        used = torch.tensor(
            [[part is not None for part in parts] for parts in self.parts.values()], device=runtime.device
        )
        held = [used.to(torch.int32)]
        runtime.sum_(held)
        shared = (held[0] > 0).sum(0) > 1
        counted = [index for index, flag in enumerate(shared.tolist()) if flag]
        counted = counted or list(range(len(self.parameters)))
        norms = {}
        for name, parts in self.parts.items():
            gradients = [
                torch.zeros_like(self.parameters[index]) if (part := parts[index]) is None else part.clone()
                for index in counted
            ]
            runtime.sum_(gradients)
            norms[name] = float(nn.utils.get_total_norm(gradients))
        return norms

    def _clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def backward(terms: Mapping[str, Tensor], share: float, apart: Apart | None) -> None:
    """Add the gradients of a micro-batch, which is a `share` of the global batch, to those that are there.

    Args:
        terms: what is minimised is their sum.
        share: the micro-batch's part of the global batch.
        apart: where to keep the gradient of each term, if anywhere.
    """
    if apart is not None and len(terms) > 1:
        apart.backward(terms, share)
    else:
        whole = functools.reduce(operator.add, terms.values())
        torch.autograd.backward(whole if share == 1 else whole * share)


def _plus(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _round(step: int) -> bool:
    """Whether a step is 1, 2 or 5 times a power of ten."""
    while step % 10 == 0 and step > 0:
        step //= 10
    return step in (1, 2, 5)


def _term(key: str) -> str:
    return key.partition("/")[2]
