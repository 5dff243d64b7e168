"""Changes of training texts, random by example, place and epoch; and each text twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

import torch
from torch import Tensor

from tutelage.data import uniform
from tutelage.errors import RecipeError, UnknownName
from tutelage.tasks.text.words import WordList
from tutelage.types import Batch, map_tensors

__all__ = ["Augment", "at_places"]

_PLACES = 2**20  # more than any text has tokens


class Augment:
    """Hide some tokens, so that the same label holds for more texts; or show each text twice.

    Args:
        words: the tokenizer.
        mask: the share of tokens that the mask takes the place of; special ones stay.
        twice: whether a batch holds each text two times under its id, the second ones after all first: equal
            inputs that dropout makes two views of, for losses that compare views.

    Source: Tang et al., Distilling Task-Specific Knowledge from BERT into Simple Neural Networks, 2019,
    section 3.2, masking, with 0.1. Difference: anew in each epoch, in place of twenty copies that are made
    once.
    """

    def __init__(self, words: WordList, *, mask: float = 0.0, twice: bool = False) -> None:
        if not 0 <= mask < 1:
            raise RecipeError(f"augment: {{mask: {mask}}}; expected a share from 0 to below 1")
        self.mask, self.number = mask, words.mask if mask else -1
        self.special, self.twice = torch.tensor(words.special), twice

    def __repr__(self) -> str:
        return f"Augment(mask={self.mask}{', twice=True' if self.twice else ''})"

    @classmethod
    def of(cls, words: WordList, settings: Mapping[str, object]) -> Augment:
        """The augmentation that a recipe describes."""
        for name in settings:
            if name not in ("mask", "twice"):
                raise UnknownName("augmentation", name, ["mask", "twice"])
        return cls(words, **settings)  # type: ignore[arg-type]

    def __call__(self, batch: Batch, view: int) -> Batch:
        """The batch as seen in `view`; the same view of a text hides the same tokens."""
        batch = self._hidden(batch, view) if self.mask else batch
        return _twice(batch) if self.twice else batch

    def _hidden(self, batch: Batch, view: int) -> Batch:
        tokens: Tensor = batch.inputs["input_ids"]
        hidden = at_places(batch.ids, tokens.shape[1], seed=view, draw="hidden") < self.mask
        hidden &= ~torch.isin(tokens, self.special)
        shown = torch.where(hidden, self.number, tokens)
        return replace(batch, inputs={**batch.inputs, "input_ids": shown})


def _twice(batch: Batch) -> Batch:
    """Everything of a batch, and the same again after it."""
    held = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return Batch(**map_tensors(held, lambda tensor: torch.cat([tensor, tensor])))


def at_places(ids: Tensor, length: int, *, seed: int, draw: str) -> Tensor:
    """One number in [0, 1) for each place of each text, the same whichever length a batch has.

    Args:
        ids: of the texts, [n].
        length: places.
        seed, draw: see `tutelage.data.uniform`.

    Returns:
        float64, [n, length].

    Example:
        >>> short, long = (at_places(torch.tensor([7]), n, seed=0, draw="x") for n in (3, 9))
        >>> torch.equal(short, long[:, :3])
        True
    """
    places = ids.unsqueeze(-1) * _PLACES + torch.arange(length, device=ids.device)
    return uniform(places.flatten(), seed=seed, draw=draw).view(len(ids), length)
