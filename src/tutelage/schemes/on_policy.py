"""A student that is taught about what it does itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tutelage.data import uniform
from tutelage.errors import ModelError
from tutelage.match import Match
from tutelage.schemes.declared import Declared, terms_of
from tutelage.schemes.offline import Offline
from tutelage.teachers import Teacher
from tutelage.types import Batch, Moment, Turn, map_tensors

__all__ = ["OnPolicy", "Rollout"]


class Rollout(Protocol):
    """How a network writes or acts: a task offers it."""

    def __call__(self, network: nn.Module, batch: Batch, *, seed: int, prompt: int) -> Batch:
        """Go on from the beginnings of some examples.

        Args:
            network: who does; it is left as it was.
            batch: the examples.
            seed: of what is drawn, which depends on it and on each example's id alone.
            prompt: how much of each is kept.

        Returns:
            As many examples of the same form; the mask says what of it the network did. Labels have the form
            of the batch's, `UNLABELLED` where there is none.
        """


class OnPolicy(Offline):
    """On-policy distillation (GKD): before each update the student writes, and the teacher judges that.

    A student that has only seen text of others goes astray once it goes on from its own, since nobody has
    shown it what to do after its own mistakes. Here it continues the beginnings of some examples of each
    batch with what it draws itself, and its terms are asked about that; nothing else differs from `Offline`.
    It must be able to write a little already: train it by text in a stage before.

    Terms on labels count in the examples that keep their text, the teacher's in all. Reverse KL
    (`response.ReverseSoftTarget`) or a `response.JensenShannonTarget` go with it.

    Args:
        student: the network that is taught.
        teacher: whom it follows.
        matches: the terms, one of which at least needs the teacher.
        rollout: how the student goes on from an example; the task offers it.
        share: of the examples that are rolled out, drawn by id for each update, above 0 up to 1 (λ of GKD);
            the rest keep their text.
        prompt: how much of an example is kept, in tokens.

    Raises:
        ModelError: no teacher, no term that needs it, or a share or prompt out of range.

    Source:
        Agarwal et al., On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes, ICLR
        2024, algorithm 1 and equation 5. Reverse KL: Gu et al., MiniLLM, ICLR 2024, section 2. Differences: λ
        is drawn for each example, not for each batch; what is kept is the beginning of a training text, since
        plain text has no prompts; positions weigh alike, whatever text they stand in, where GKD takes the
        mean of each text first. As in GKD no gradient passes through the draw, so that MiniLLM's policy
        gradient, its mixture with the teacher and its corrections for length are not there.

    Example:
        >>> from tutelage.losses import response
        >>> from tutelage.teachers import Frozen
        >>> def rollout(network, batch, *, seed, prompt):
        ...     return replace(batch, mask=torch.ones(len(batch), dtype=torch.bool))
        >>> terms = [Match(response.ReverseSoftTarget(temperature=1.0))]
        >>> scheme = OnPolicy(nn.Linear(4, 3), Frozen(nn.Linear(4, 3)), terms, rollout, share=0.5)
        >>> (turn,) = scheme.turns()
        >>> turn.makes(Batch(torch.zeros(6, 4), torch.arange(6)), Moment(0, 1, 1)).mask.tolist()
        [True, True, True, True, True, True]
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher | None,
        matches: Sequence[Match],
        rollout: Rollout,
        *,
        share: float = 1.0,
        prompt: int = 16,
    ) -> None:
        _check(matches, share, prompt)
        super().__init__(student, teacher, matches)
        self.rollout, self.share, self.prompt = rollout, share, prompt

    @classmethod
    def declare(cls, matches: Sequence[Match], networks: Sequence[str], **options: Any) -> Declared:  # noqa: ARG003
        """The teacher is asked about what the student makes."""
        _check(matches, options.get("share", 1.0), options.get("prompt", 16))
        return Declared(asks="made", terms=terms_of(matches))

    def turns(self) -> Sequence[Turn]:
        """One turn, the student's, on what it wrote."""
        return [replace(turn, makes=self._rolled_out, ahead=None) for turn in super().turns()]

    def _rolled_out(self, batch: Batch, moment: Moment) -> Batch:
        """The batch, with what the student did in place of some examples."""
        chosen = uniform(batch.ids, seed=moment.move, draw="rolled out") < self.share
        chosen &= _counting(batch)
        numbers = chosen.nonzero().flatten()
        if not len(numbers):
            return replace(batch, keys=None)
        made = self.rollout(self.student, _some(batch, numbers), seed=moment.move, prompt=self.prompt)
        return replace(made, keys=None) if len(made) == len(batch) else _joined(batch, made, numbers)

    def _fit(self, batch: Batch) -> None:
        made = self.rollout(self.student, batch, seed=0, prompt=self.prompt)
        super()._fit(replace(made, keys=None))


def _check(matches: Sequence[Match], share: float, prompt: int) -> None:
    if not any(match.needs_teacher for match in matches):
        raise ModelError(
            "OnPolicy was given no match that needs a teacher, and nobody else says what the student should "
            "have written; add one, such as {loss: response.ReverseSoftTarget}"
        )
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise ModelError(f"share came as {share!r}; expected a number above 0 up to 1 (for 0 take Offline)")
    if not isinstance(prompt, int) or prompt < 1:
        raise ModelError(f"prompt came as {prompt!r}; a whole number of 1 or more is expected")


def _counting(batch: Batch) -> Tensor:
    """The examples of which anything counts: the others only fill up the batch of a process without work."""
    if batch.mask is None:
        return torch.ones_like(batch.ids, dtype=torch.bool)
    return batch.mask.flatten(1).any(1) if batch.mask.ndim > 1 else batch.mask.clone()


def _some(batch: Batch, numbers: Tensor) -> Batch:
    inputs, ids, labels, mask = map_tensors(
        [batch.inputs, batch.ids, batch.labels, batch.mask], lambda tensor: tensor[numbers]
    )
    return Batch(inputs, ids, labels, mask)


def _joined(batch: Batch, made: Batch, numbers: Tensor) -> Batch:
    """The batch, with what was made in the place of these numbers."""
    assert made.mask is not None
    mask = batch.mask
    if mask is None:
        mask = made.mask.new_ones(len(batch), *made.mask.shape[1:])
    inputs, labels, mask = (
        _put(old, new, numbers)
        for old, new in ((batch.inputs, made.inputs), (batch.labels, made.labels), (mask, made.mask))
    )
    return Batch(inputs, batch.ids, labels, mask)


def _put(old: Any, new: Any, numbers: Tensor) -> Any:
    """A tensor, or a tree of them, with other rows in the place of these numbers."""
    if isinstance(old, Mapping):
        return {key: _put(value, new[key], numbers) for key, value in old.items()}
    if isinstance(old, list | tuple):
        return type(old)(_put(one, other, numbers) for one, other in zip(old, new, strict=True))
    return old.index_copy(0, numbers, new) if isinstance(old, Tensor) else old
