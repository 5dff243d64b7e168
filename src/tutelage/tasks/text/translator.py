"""What a teacher writes for students of translation: its own translation of each training text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from tutelage.answers import Prompt, Sampling, Text
from tutelage.capture import capture
from tutelage.data import load_tables
from tutelage.errors import DataError, ModelError, RecipeError
from tutelage.modes import evaluating
from tutelage.tasks.classification import choose_column
from tutelage.tasks.text.columns import texts_of
from tutelage.tasks.text.sentences import filled
from tutelage.tasks.text.translation_exam import translated
from tutelage.tasks.text.words import WordList
from tutelage.types import Batch, Outputs

__all__ = ["Translator"]


class Translator:
    """Texts, and the translations that a network writes of them, the likeliest token each time.

    Args:
        words: the tokenizer.
        texts: those that are trained on.
        length: the most tokens of a text.
        source: the column of texts at another place.
    """

    answers = True

    def __init__(self, words: WordList, texts: Sequence[str], *, length: int, source: str) -> None:
        self.words, self.texts, self.length, self.source = words, texts, length, source

    def prompts(self, place: str | None, tokens: int) -> list[Prompt]:  # noqa: ARG002 (texts go whole)
        """The texts at a place; without one, those that are trained on.

        Args:
            place: a .txt with a text a line, or anything that `load_tables` reads; None for training.
            tokens: of an opening; a text is translated whole.

        Raises:
            DataError: there are none.
        """
        texts = self.texts if place is None else self._at(place)
        encoded, _ = self.words.encode(texts, None, length=self.length)
        return [Prompt(text, len(held)) for text, held in zip(texts, encoded, strict=True)]

    def check(self, network: nn.Module, longest: int, tokens: int) -> None:  # noqa: ARG002
        """Refuse a network that does not translate; one that does stops by itself.

        Args:
            network: who is to write.
            longest: tokens of the longest text.
            tokens: at most, of what is written.

        Raises:
            ModelError: it answers about given translations alone.
        """
        if not getattr(network, "translates", False):
            raise ModelError(
                f"{type(network).__name__} writes no translation of its own where no decoder_input_ids are "
                "given; take the network `transformer`, or one with an attribute `translates` that does"
            )

    def write(
        self, network: nn.Module, asked: Sequence[tuple[Prompt, int]], sampling: Sampling
    ) -> list[Text]:
        """Translate some texts at once.

        Args:
            network: who writes; it is left as it was.
            asked: texts, best of like length, each with the number of its sample.
            sampling: where a translation is cut off.

        Raises:
            RecipeError: translations are to be drawn.
        """
        if sampling.sampling_temperature:
            raise RecipeError(
                f"translations at temperature {sampling.sampling_temperature:g} were asked for, and here the "
                "likeliest token is taken each time; leave --temperature out"
            )
        encoded, _ = self.words.encode([prompt.text for prompt, _ in asked], None, length=self.length)
        device = next(network.parameters()).device
        inputs = filled([torch.tensor(held) for held in encoded], self.words.padding)
        batch = Batch(inputs, torch.arange(len(asked))).to(device)

        def answer(few: Batch) -> Outputs:
            return capture(network, few.inputs)

        with evaluating(network), torch.inference_mode():
            found = translated(answer, batch, self.words.end, limit=sampling.tokens)
        texts = self.words.decode([tokens for tokens, _ in found])
        return [
            Text(prompt.key, prompt.text, text, sample, len(tokens) + finished, finished)
            for (prompt, sample), text, (tokens, finished) in zip(asked, texts, found, strict=True)
        ]

    def _at(self, place: str) -> list[str]:
        file = Path(place).expanduser()
        if file.suffix == ".txt":
            if not file.is_file():
                raise DataError(f"there is no text file {place}; give one with a text a line, or a data set")
            found = [line.strip() for line in file.read_text("utf-8").splitlines()]
        else:
            table = next(iter(load_tables(place).values()))
            found = texts_of(table, choose_column(table, None, "text", (self.source, "text", "source")))
        held = [one for one in found if one.strip()]
        if not held:
            raise DataError(f"{place} has no text; one at least is needed")
        return held
