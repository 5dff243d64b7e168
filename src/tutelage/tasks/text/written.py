"""A teacher's own translations in the place of the references (sequence-level distillation)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from tutelage.answers import Texts
from tutelage.data import Source
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.tasks.text.pairs import pairs_in, taught
from tutelage.tasks.text.sentences import keys_of_tokens
from tutelage.tasks.text.words import WordList
from tutelage.types import UNLABELLED, Batch

__all__ = ["Written"]


class Written:
    """Sequence-level distillation: train on what the teacher writes, not on the references.

    A teacher's translations are easier to learn than people's: they are more alike. It changes training
    batches alone, so that validation and test are those of the references. One that was cut off has no end,
    unless nothing is left of it.

    Args:
        source: the training texts.
        words: the tokenizer.
        length: the most tokens of a translation.
        written: the folder of what `tutelage write` made of the same task.

    Raises:
        RecipeError: no folder was named.
        AnswersError: what is there is not complete, or not as it was written.
        DataError: a training text has no translation there.

    Source: Kim & Rush, Sequence-Level Knowledge Distillation, 2016, section 3.2. Difference: the likeliest
    token each time in place of a beam of 5.
    """

    def __init__(self, source: Source, words: WordList, length: int, *, written: str) -> None:
        if not isinstance(written, str):
            raise RecipeError(f"augment: {{written: {written!r}}}; expected the folder of a `tutelage write`")
        self.written, self.padding = written, words.padding
        held = {one.prompt: one for one in Texts(written) if one.sample == 0}
        pairs, numbers = pairs_in(source)
        asked = [pairs.texts[number] for number in numbers]
        missing = next((text for text in asked if text not in held), None)
        if missing is not None:
            raise DataError(
                f"{written} has no translation of the training text {missing!r}; write it with the same "
                "task: tutelage write RECIPE"
            )
        found = words.encode_targets([held[text].continuation for text in asked], length=length - 1)
        self.tokens = {
            number: torch.tensor([words.begin, *tokens, *_end(words, held[text].finished or not tokens)])
            for number, tokens, text in zip(numbers, found, asked, strict=True)
        }

    def __repr__(self) -> str:
        return f"Written(written={self.written!r})"

    @classmethod
    def of(cls, source: Source, words: WordList, length: int, settings: Mapping[str, object]) -> Written:
        """What a recipe describes."""
        for name in settings:
            if name != "written":
                raise UnknownName("augmentation", name, ["written"])
        return cls(source, words, length, **settings)  # type: ignore[arg-type]

    def __call__(self, batch: Batch, view: int) -> Batch:  # noqa: ARG002 (all views are alike)
        """The batch with the teacher's translations as its labels."""
        own = [self.tokens[number] for number in batch.ids.tolist()]
        asked, labels = taught(own, self.padding)
        keys = None if batch.keys is None else batch.keys ^ keys_of_tokens(own)
        inputs = {**batch.inputs, "decoder_input_ids": asked}
        return replace(batch, inputs=inputs, labels=labels, mask=labels != UNLABELLED, keys=keys)


def _end(words: WordList, ended: bool) -> list[int]:
    return [words.end] if ended else []
