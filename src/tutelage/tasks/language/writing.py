"""Text from a causal language model of Transformers: prompts, and what it writes after them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import xxhash
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.answers import Prompt, Sampling, Text
from tutelage.errors import DataError, ModelError
from tutelage.modes import evaluating
from tutelage.tasks.language.chat import ask_by_template
from tutelage.tasks.language.models.packed import unpacked
from tutelage.tasks.language.packing import Rows
from tutelage.tasks.language.prompts import openings, read_prompts
from tutelage.tasks.language.vocabulary import BROKEN, Vocabulary
from tutelage.tasks.transformers_library import optional

__all__ = ["Author", "OwnNoise", "ends_of"]


class Author:
    """Prompts, and the text that a network writes after them with its own `generate`.

    Args:
        words: the tokenizer of the network.
        train: the documents whose openings are prompts where no others are given.
    """

    answers = False

    def __init__(self, words: Vocabulary, train: Rows) -> None:
        self.words, self.train = words, train

    def prompts(self, place: str | None, tokens: int) -> list[Prompt]:
        """The prompts at a place; without one, the first tokens of each training document.

        Those at a place are written by the tokenizer's chat template, where it has one: a model that was
        taught to answer is asked, and goes on from where it answers.

        Args:
            place: see `read_prompts`; None for the training documents.
            tokens: of an opening.

        Raises:
            DataError: there are none.
        """
        texts = openings(self.train, self.words, tokens) if place is None else self._asked_for(place)
        found = [Prompt(text, len(ids)) for text, ids in zip(texts, self.words.begin(texts), strict=True)]
        empty = next((one.text for one in found if not one.length), None)
        if empty is not None:
            raise DataError(f"the prompt {empty!r} has no tokens; a prompt needs one at least")
        return found

    def _asked_for(self, place: str) -> list[str]:
        found = read_prompts(place)
        if not self.words.tokenizer.chat_template:
            plain = [one for one in found if not isinstance(one, str)]
            if plain:
                raise DataError(
                    f"the prompts of {place} are messages, and the tokenizer has no chat template to write "
                    "them by; give text"
                )
            return [str(one) for one in found]
        return [ask_by_template(one, self.words.tokenizer) for one in found]

    def check(self, network: nn.Module, longest: int, tokens: int) -> None:
        """Refuse a network that cannot write so many tokens after the longest prompt.

        Args:
            network: who is to write.
            longest: tokens of the longest prompt.
            tokens: at most, of what is written.

        Raises:
            ModelError: it has no `generate`, too few positions, or fewer tokens than the tokenizer.
        """
        kind = type(network).__name__
        if not callable(getattr(network, "generate", None)) or not hasattr(network, "generation_config"):
            raise ModelError(
                f"{kind} has no `generate` of Transformers, and so writes no text; take a causal language "
                "model of theirs (transformers_causal), or keep this one's answers with `tutelage label`"
            )
        config = network.config.get_text_config()  # type: ignore[union-attr, operator]
        positions = getattr(config, "max_position_embeddings", None)
        if positions is not None and longest + tokens > positions:
            raise ModelError(
                f"prompts of up to {longest} tokens and {tokens} after them came, and {kind} has {positions} "
                "positions; take shorter prompts (--prompt-tokens) or fewer --tokens"
            )
        if config.vocab_size < len(self.words):
            raise ModelError(
                f"{kind} knows {config.vocab_size} tokens and the tokenizer {len(self.words)}; set "
                "task.tokenizer to the network's own"
            )

    def write(
        self, network: nn.Module, asked: Sequence[tuple[Prompt, int]], sampling: Sampling
    ) -> list[Text]:
        """Go on from some prompts at once.

        Args:
            network: who writes; it is left as it was.
            asked: prompts, best of like length, each with the number of its sample.
            sampling: how long, and how it is drawn.
        """
        begun = self.words.begin([prompt.text for prompt, _ in asked])
        inputs, there = left_padded(begun, self.words.end)
        device = next(network.parameters()).device
        keys = [f"{sampling.seed} {prompt.key} {sample}" for prompt, sample in asked]
        ends = ends_of(network, self.words.end)
        with evaluating(network), _plain(network, self._settings(sampling, ends)) as generate:
            found = generate(
                inputs.to(device), attention_mask=there.to(device), logits_processor=_draws(sampling, keys)
            )
        added = found[:, inputs.shape[1] :].tolist()
        return [self._text(*each, ends) for each in zip(asked, begun, added, strict=True)]

    def _settings(self, sampling: Sampling, ends: Sequence[int]) -> Any:
        library = optional("transformers", "writing text")
        return library.GenerationConfig(
            max_new_tokens=sampling.tokens,
            do_sample=False,
            eos_token_id=list(ends),
            pad_token_id=self.words.end,
        )

    def _text(
        self, asked: tuple[Prompt, int], begun: list[int], added: list[int], ends: Sequence[int]
    ) -> Text:
        prompt, sample = asked
        stop = next((place for place, token in enumerate(added) if token in ends), None)
        finished = stop is not None
        tokens = added[:stop]
        before, whole = self.words.decode(begun), self.words.decode([*begun, *tokens])
        written = whole.removeprefix(before) if whole.startswith(before) else self.words.decode(tokens)
        if not finished:
            written = written.rstrip(BROKEN)
        return Text(prompt.key, prompt.text, written, sample, len(tokens) + finished, finished)


def ends_of(network: Any, end: int) -> list[int]:
    """All tokens that end what a network writes: the tokenizer's, and those that its checkpoint names.

    Example:
        >>> from types import SimpleNamespace as Said
        >>> ends_of(Said(generation_config=Said(eos_token_id=[7, 3]), config=Said(eos_token_id=7)), 3)
        [3, 7]
    """
    found = [end]
    for said in (network.generation_config, network.config):
        held = getattr(said, "eos_token_id", None)
        found += [] if held is None else list(held) if isinstance(held, list | tuple) else [held]
    return list(dict.fromkeys(found))


class OwnNoise:
    """Draw tokens by Gumbel noise: the greatest of the scores with noise is a draw from their softmax.

    Each row has a generator of its own, seeded by its name, so that what is drawn for it does not depend on
    the rows beside it; and since the noise of a token is its own as well, a logit that is off by a rounding
    changes a draw as seldom as it changes the likeliest token.

    Args:
        names: of the rows.

    Shapes: scores [rows, tokens] -> the same, in float64; −inf stays.

    Source: Maddison et al. 2014, "A* Sampling", section 2; the noise is −log of an exponential variable.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.seeds = [xxhash.xxh3_64_intdigest(name.encode()) >> 1 for name in names]
        self._generators: list[torch.Generator] = []

    def __call__(
        self,
        input_ids: Int[Tensor, "rows length"],  # noqa: ARG002
        scores: Float[Tensor, "rows tokens"],
    ) -> Float[Tensor, "rows tokens"]:
        """The scores of the next token, with noise."""
        if not self._generators:
            self._generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self.seeds]
        noise = torch.empty(scores.shape, dtype=torch.float64, device=scores.device)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.double() - noise.clamp(min=1e-300).log()


def left_padded(
    rows: Sequence[Sequence[int]], padding: int
) -> tuple[Int[Tensor, "n length"], Int[Tensor, "n length"]]:
    """Rows of one length, filled up on the left, and 1 where there was something.

    Example:
        >>> [each.tolist() for each in left_padded([[5, 6], [7]], padding=0)]
        [[[5, 6], [0, 7]], [[1, 1], [0, 1]]]
    """
    length = max(map(len, rows))
    empty = [length - len(row) for row in rows]
    filled = [[padding] * few + list(row) for few, row in zip(empty, rows, strict=True)]
    there = [[0] * few + [1] * (length - few) for few in empty]
    return torch.tensor(filled), torch.tensor(there)


@contextmanager
def _plain(network: Any, settings: Any) -> Iterator[Any]:
    """A network's own `generate`, under these settings alone: those that came with it are set aside."""
    before = network.generation_config
    network.generation_config = settings
    try:
        with unpacked(network):
            yield network.generate
    finally:
        network.generation_config = before


def _draws(sampling: Sampling, names: Sequence[str]) -> list[Any]:
    """What is done to the scores before the likeliest token is taken."""
    if not sampling.sampling_temperature:
        return []
    library = optional("transformers", "writing text")
    found = [library.TemperatureLogitsWarper(sampling.sampling_temperature)]
    if sampling.top_p < 1:
        found.append(library.TopPLogitsWarper(sampling.top_p))
    return [*found, OwnNoise(names)]
