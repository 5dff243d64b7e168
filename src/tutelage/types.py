"""The small records that tie the rooms together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

__all__ = [
    "UNLABELLED",
    "Balance",
    "Batch",
    "Batches",
    "Exchange",
    "HeadLogits",
    "Moment",
    "Outputs",
    "SparseLogits",
    "Timed",
    "Turn",
    "map_tensors",
]

UNLABELLED = -100
"""The label of an example without one: it adds nothing to a loss on labels, and stays in the denominator."""


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply `change` to each tensor in a tensor, tuple, list or mapping; other values pass through."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        changed = [map_tensors(item, change) for item in value]
        return type(value)(*changed) if hasattr(value, "_fields") else type(value)(changed)
    return value


def _lies_on(part: Any, device: torch.device | str) -> bool:
    return part is None or (isinstance(part, Tensor) and part.device == device)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some examples, as a network reads them.

    Args:
        inputs: what the network is called with: a tensor (`network(x)`), a tuple (`network(*x)`) or a
            mapping (`network(**x)`). The first axis of each tensor counts the examples.
        ids: one stable number for each example, shape [N]; the same example keeps it for ever.
        labels: class indices or targets, a tensor or a tree of them as inputs are, first axes N; in class
            indices `UNLABELLED` where there is none.
        mask: true where an item counts, shape [N] or [N, length]; None when all of them do.
        keys: what stored answers are found by, int64 [N, 2], on the CPU; None where nobody asked for them.
        shown: what a teacher is shown in place of the inputs, another view of the same examples; None where
            it is shown the same.
    """

    inputs: Any
    ids: Tensor
    labels: Any = None
    mask: Tensor | None = None
    keys: Tensor | None = None
    shown: Any = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def count(self) -> int:
        """How many items count: the share of this batch in the one denominator of its global batch."""
        return len(self) if self.mask is None else int(self.mask.sum())

    def to(self, device: torch.device | str, *, memory_format: torch.memory_format | None = None) -> Batch:
        """The same batch on another device; maps [N, C, H, W] among its inputs in another layout."""

        parts = (self.inputs, self.ids, self.labels, self.mask, self.shown)
        if memory_format is None and all(_lies_on(part, device) for part in parts):
            return self

        def move(tensor: Tensor) -> Tensor:
            tensor = tensor.to(device, non_blocking=True)
            if memory_format is None or tensor.ndim != 4:
                return tensor
            return tensor.contiguous(memory_format=memory_format)

        return replace(
            self,
            inputs=map_tensors(self.inputs, move),
            ids=move(self.ids),
            labels=map_tensors(self.labels, move),
            mask=None if self.mask is None else move(self.mask),
            shown=map_tensors(self.shown, move),
        )

    def pin_memory(self) -> Batch:
        """The same batch in memory from which an accelerator copies while the processor goes on."""
        return replace(
            self,
            inputs=map_tensors(self.inputs, Tensor.pin_memory),
            ids=self.ids.pin_memory(),
            labels=map_tensors(self.labels, Tensor.pin_memory),
            mask=None if self.mask is None else self.mask.pin_memory(),
            shown=map_tensors(self.shown, Tensor.pin_memory),
        )


@dataclass(frozen=True, slots=True)
class HeadLogits:
    """Logits that nobody has computed yet: what goes into the last linear layer, and that layer.

    With a large vocabulary the logits of a batch take more memory than the rest of the network. A loss that
    can, works through them in chunks; for any other they are computed `whole`.

    Args:
        hidden: what goes into the layer, shape [*items, width].
        weight: of the layer, shape [classes, width].
        bias: of the layer, shape [classes], or None.
        scale: multiplies the logits.
        cap: soft-capping, cap · tanh(logits / cap), after the scale; None for none.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @property
    def shape(self) -> torch.Size:
        """That of the logits, [*items, classes]."""
        return torch.Size([*self.hidden.shape[:-1], len(self.weight)])

    def whole(self) -> Tensor:
        """All logits, as a tensor."""
        logits = nn.functional.linear(self.hidden, self.weight, self.bias) * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def detach(self) -> HeadLogits:
        """The same, without a gradient."""
        bias = None if self.bias is None else self.bias.detach()
        return replace(self, hidden=self.hidden.detach(), weight=self.weight.detach(), bias=bias)


@dataclass(frozen=True, slots=True)
class SparseLogits:
    """A distribution over many classes of which few are known.

    Args:
        classes: the classes that are known, shape [*items, k].
        scores: their log-probabilities at temperature 1 where there are tails, else at `temperature`; −inf
            where an item has fewer than k. They sum to 1 where there are no tails.
        num_classes: how many classes there are.
        tails: temperature -> log of the probability of all other classes together, shape [*items].
        temperature: where there are no tails, the only one that the scores hold for.
    """

    classes: Tensor
    scores: Tensor
    num_classes: int
    tails: Mapping[float, Tensor] = field(default_factory=dict)
    temperature: float = 1.0

    @property
    def shape(self) -> torch.Size:
        """That of the logits that it stands for, [*items, classes]."""
        return torch.Size([*self.classes.shape[:-1], self.num_classes])

    def at(self, temperature: float) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of the known classes at a temperature, and of the others together, if known.

        Raises:
            ValueError: nothing is known about this temperature.

        Example:
            >>> kept = torch.tensor([[0.5, 0.25]]).log()
            >>> tails = {1.0: torch.tensor([0.25]).log()}
            >>> found, tail = SparseLogits(torch.tensor([[7, 2]]), kept, 9, tails).at(1.0)
            >>> found.exp(), tail.exp()
            (tensor([[0.5000, 0.2500]]), tensor([0.2500]))
        """
        known = sorted(self.tails) or [self.temperature]
        if temperature not in known:
            raise ValueError(
                f"the loss asks at temperature {temperature:g}, and few classes of the teacher's answers "
                f"were kept, for {', '.join(f'{each:g}' for each in known)}; give the loss one of these "
                "temperatures, or label again for its own"
            )
        if not self.tails:
            return self.scores, None
        tail = self.tails[temperature]
        kept = torch.log1p(-tail.exp().clamp(max=1 - 1e-7))
        known_probs = (self.scores / temperature).log_softmax(-1) + kept.unsqueeze(-1)
        return known_probs.masked_fill(self.scores.isneginf(), -torch.inf), tail


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a network says about a batch.

    Args:
        logits: raw scores, the classes on the last axis.
        features: tensors by the path of the layer they were taken from.
        mask: true where it has an answer, shape [N] or [N, length]; None when it has one everywhere.
        head: what the logits are computed from, where they are not computed yet.
        sparse: what is known of the logits, where most classes are not.
    """

    logits: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None
    head: HeadLogits | None = None
    sparse: SparseLogits | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a training is.

    Args:
        step: updates made so far.
        total: updates in all.
        length: steps of an epoch.
        move: updates that this turn has made so far: what a turn draws depends on ids and this number alone.
    """

    step: int
    total: int
    length: int
    move: int = 0

    @property
    def epoch(self) -> int:
        """Whole epochs so far."""
        return self.step // self.length


@runtime_checkable
class Timed(Protocol):
    """A part of a network that changes with the time, such as a mask whose share grows."""

    @property
    def has_arrived(self) -> bool:
        """Whether it is what it is to become: weights of before are not worth keeping."""
        ...

    def at_moment(self, moment: Moment) -> None:
        """Told how far the training is, before each step."""
        ...


def _nothing(moment: Moment) -> None:
    """What most turns do between steps."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a turn moves, and how seldom other turns look at it.

    Args:
        modules: all that the turn changes, with buffers.
        every: steps from one look to the next, which is taken in `Turn.after`; None where nobody looks.
    """

    modules: Sequence[nn.Module]
    every: int | None = None

    def due(self, step: int) -> bool:
        """Whether others look after this step."""
        return self.every is not None and step % self.every == 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One optimiser's move.

    Args:
        name: "student", "critic", "generator", "peer0" …; it names the optimiser and the logged terms.
        parameters: what this turn moves, and all that it moves.
        terms: a batch -> named, weighted scalars, each a mean over the batch's unmasked items; their sum
            is minimised.
        makes: (a batch of the data, how far the training is) -> the batch that the terms are asked about: a
            rollout, generated examples, a pairing. It is called before each update, and items are counted
            afterwards. What it draws must depend on the batch's ids and `Moment.move` alone, so that it is
            the same in parts and on several processes. None where the data are what is learnt from.
        repeat: how many updates in a row on one batch, each on a batch made anew.
        before, after: told how far the training is, before the turn's first update on a step and after its
            last one.
        weights: -> what each term is multiplied by, for the record.
        ahead: told each batch one step early, to begin what does not depend on the steps before; None where
            there is nothing of that kind.
        sees: runs its network on a batch and leaves nothing behind but what the network keeps by itself, such
            as the statistics of batch norms; None where there is no such network.
        balance: told the norm of each term's gradient every so many steps, before the update, which is made
            with the new weights; None where no weight depends on it.
        notes: those of the terms that are only measured, such as how often a critic is right: each goes into
            the record as terms do, and into no sum that is minimised.
        exchange: how seldom others look at what it moves. Where all turns say so, several processes may each
            make turns of their own, on whole batches; None where the next turn sees it at once.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    terms: Callable[[Batch], dict[str, Tensor]]
    makes: Callable[[Batch, Moment], Batch] | None = None
    repeat: int = 1
    before: Callable[[Moment], None] = _nothing
    after: Callable[[Moment], None] = _nothing
    weights: Callable[[], Mapping[str, float]] = dict
    ahead: Callable[[Batch], None] | None = None
    sees: Callable[[Batch], object] | None = None
    balance: Balance | None = None
    notes: Collection[str] = ()
    exchange: Exchange | None = None


class Balance(Protocol):
    """What sets weights by the norms of gradients."""

    every: int
    """Steps from one measurement to the next."""

    def __call__(self, norms: Mapping[str, float]) -> Mapping[str, float]:
        """Take up the norm of the gradient of each weighted term; give what each is now multiplied by."""
        ...


class Batches(Protocol):
    """Examples in a fixed order, step by step: what the engine trains on."""

    def __len__(self) -> int:
        """How many steps an epoch has."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Sequence[Batch]]:
        """The micro-batches of each step of epoch `epoch`, from step `start` on, for this process."""
        ...
