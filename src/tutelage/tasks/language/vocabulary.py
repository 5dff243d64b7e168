"""Tokens: a tokenizer that comes ready, or byte pairs learnt from the training text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.tasks.language.chat import Talk, counted_tokens
from tutelage.tasks.language.documents import Unfinished
from tutelage.tasks.transformers_library import optional, place_of, read

__all__ = ["BROKEN", "END", "Vocabulary"]

END = "<|endoftext|>"
"""The token that ends a document, of vocabularies that are learnt here."""

BROKEN = "\ufffd"
"""What is read for a letter whose bytes are not all there."""

_AT_ONCE = 1000  # documents
_SHOWN = 60  # letters of a text, in messages


class Vocabulary:
    """A tokenizer, and what a language model must know of it.

    Args:
        tokenizer: one of Transformers'.
        samples: some texts that it is for, which messages show.
        place: where it was read from, if anywhere.

    Raises:
        DataError: it has no token that ends a text.
    """

    def __init__(self, tokenizer: Any, samples: Sequence[str] = (), place: str | None = None) -> None:
        if tokenizer.eos_token_id is None:
            raise DataError(
                f"the tokenizer {tokenizer.name_or_path!r} has no end-of-text token (eos_token), and "
                "documents are ended by it; save it with one"
            )
        self.tokenizer = tokenizer
        self.end = int(tokenizer.eos_token_id)
        self.samples, self.place = [str(one)[:_SHOWN] for one in samples[:3]], place

    @property
    def special(self) -> dict[str, int | None]:
        """What a network's configuration says of tokens that begin, end and fill up a text."""
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        return {name: getattr(self.tokenizer, name) for name in names}

    @classmethod
    def of(cls, came: str | Mapping[str, Any], texts: Sequence[str]) -> Vocabulary:
        """The vocabulary that a recipe names.

        Args:
            came: a folder, a GGUF file or a name on the hub; or `{bpe: size}`, learnt from the texts.
            texts: the training documents.

        Raises:
            UnknownName, RecipeError, CheckpointError: it cannot be had.
            MissingExtra: Transformers, or what reads the file, is not installed.
        """
        if isinstance(came, str):
            where, options = place_of(came)
            library = optional("transformers", "a tokenizer")
            found = read("a tokenizer", where, library.AutoTokenizer.from_pretrained, **options)
            return cls(found, texts, came)
        if set(came) != {"bpe"}:
            raise UnknownName("tokenizer", ", ".join(came), ["bpe"], hint="Or give a folder or a hub name.")
        return cls.learnt(texts, size=came["bpe"])

    @classmethod
    def learnt(cls, texts: Sequence[str], *, size: int) -> Vocabulary:
        """Byte-level byte-pair encoding (BPE), learnt from texts; the same texts give the same tokens.

        Args:
            texts: what to learn from.
            size: how many tokens, the 256 bytes and the end of a text included; fewer if the texts are short.

        Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section
        3.2; on bytes, as Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
        section 2.2.
        """
        if not isinstance(size, int) or size < 257:
            raise RecipeError(f"tokenizer: {{bpe: {size}}}; expected at least 257, 256 bytes and an end")
        library = optional("transformers", "a tokenizer")
        parts = optional("tokenizers", "a tokenizer")
        model = parts.Tokenizer(parts.models.BPE())
        model.pre_tokenizer = parts.pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = parts.decoders.ByteLevel()
        trainer = parts.trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[END],
            initial_alphabet=sorted(parts.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        model.train_from_iterator(texts, trainer)
        return cls(library.PreTrainedTokenizerFast(tokenizer_object=model, eos_token=END), texts)

    def __len__(self) -> int:
        return 1 + max(int(number) for number in self.tokenizer.get_vocab().values())

    def encode(self, texts: Sequence[str]) -> list[np.ndarray[Any, np.dtype[np.int32]]]:
        """The tokens of each text, with those that the tokenizer sets at its start, and the end's.

        A text that is `Unfinished` has no end.
        """
        found = []
        for start in range(0, len(texts), _AT_ONCE):
            some = list(texts[start : start + _AT_ONCE])
            for text, tokens in zip(some, self._tokens(some), strict=True):
                ended = tokens if isinstance(text, Unfinished) else [*tokens, self.end]
                found.append(np.asarray(ended, dtype=np.int32))
        return found

    def read(
        self, texts: Sequence[str]
    ) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any] | None]]:
        """The tokens of each text, see `encode`, and which of them count: those of answers in a `Talk`.

        None where all count.
        """
        plain = iter(self.encode([text for text in texts if not isinstance(text, Talk)]))
        tokens: list[np.ndarray[Any, Any]] = []
        counts: list[np.ndarray[Any, Any] | None] = []
        for text in texts:
            if not isinstance(text, Talk):
                tokens.append(next(plain))
                counts.append(None)
                continue
            found, held = counted_tokens(text, self.tokenizer, self.end)
            tokens.append(np.asarray(found, dtype=np.int32))
            counts.append(np.asarray(held, dtype=bool))
        return tokens, counts

    def begin(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of texts that somebody is to go on from: as in `encode`, without an end."""
        return [
            each for at in range(0, len(texts), _AT_ONCE) for each in self._tokens(texts[at : at + _AT_ONCE])
        ]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens, without those that are no text."""
        said = self.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(said)

    def text_of(self, tokens: Sequence[int]) -> str | None:
        """The text of some tokens; None where it begins or ends within a letter."""
        text = self.decode(tokens)
        ends = self.ends(tokens)
        whole = BROKEN not in text and bool(ends) and ends[-1] == len(text.encode())
        return text if whole else None

    def ends(self, tokens: Sequence[int]) -> list[int]:
        """The byte of the text at which each token ends; those that are no text end where they begin."""
        lengths = self._lengths
        if lengths is not None:
            return torch.tensor([int(lengths[token]) for token in tokens]).cumsum(0).tolist()
        return [len(self.decode(tokens[: number + 1]).encode()) for number in range(len(tokens))]

    @cached_property
    def _lengths(self) -> Tensor | None:
        return self.byte_lengths()

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        found = self.tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
        once = [tokens[1:] if self._begins_twice(tokens) else tokens for tokens in found]
        return [tokens[:-1] if tokens and tokens[-1] == self.end else tokens for tokens in once]

    def _begins_twice(self, tokens: Sequence[int]) -> bool:
        """Whether a text said its beginning itself, as a template writes it, and it was set once more."""
        begin = self.tokenizer.bos_token_id
        return begin is not None and list(tokens[:2]) == [begin, begin]

    def byte_lengths(self) -> Int[Tensor, " c"] | None:
        """How many bytes of text each token stands for; None where its tokens are not made of bytes."""
        model = getattr(self.tokenizer, "backend_tokenizer", None)
        if model is None or '"ByteLevel"' not in json.dumps(json.loads(model.to_str())["decoder"]):
            return None
        lengths = torch.zeros(len(self), dtype=torch.int64)
        for token, number in self.tokenizer.get_vocab().items():
            lengths[number] = len(token)  # a letter for each byte
        for number, token in self.tokenizer.added_tokens_decoder.items():
            lengths[number] = 0 if token.special else len(str(token).encode())
        return lengths
