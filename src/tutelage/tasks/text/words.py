"""Tokens of sentences: a tokenizer that comes ready, or pieces or words learnt from the training texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.tasks.text.learnt_words import LEARNT, SPECIAL
from tutelage.tasks.transformers_library import optional, place_of, read

__all__ = ["WordList"]

_SHOWN = 60  # letters of a text, in messages
_FEWEST = 300


class WordList:
    """A tokenizer, and what a task must know of it.

    Args:
        tokenizer: one of Transformers'.
        samples: some texts that it is for, which messages show.
        place: where it was read from, if anywhere.

    Raises:
        DataError: it has no token that fills up texts.
    """

    def __init__(self, tokenizer: Any, samples: Sequence[str] = (), place: str | None = None) -> None:
        if tokenizer.pad_token_id is None:
            raise DataError(
                f"the tokenizer {tokenizer.name_or_path!r} has no token that fills up texts (pad_token), and "
                "texts of a batch are brought to one length by it; save it with one"
            )
        self.tokenizer = tokenizer
        self.padding = int(tokenizer.pad_token_id)
        self.samples, self.place = [str(one)[:_SHOWN] for one in samples[:3]], place

    def __len__(self) -> int:
        return 1 + max(int(number) for number in self.tokenizer.get_vocab().values())

    @classmethod
    def of(cls, came: str | Mapping[str, Any], texts: Sequence[str], *, cased: bool = False) -> WordList:
        """The tokenizer that a recipe names.

        Args:
            came: a folder or a name on the hub; or what is learnt from the texts: `{wordpiece: size}`,
                `{bpe: size}` or `{words: size}`.
            texts: those that are trained on.
            cased: whether what is learnt tells capitals and accents apart.

        Raises:
            UnknownName, RecipeError, CheckpointError: it cannot be had.
            MissingExtra: Transformers is not installed.
        """
        if isinstance(came, str):
            where, _ = place_of(came)
            library = optional("transformers", "a tokenizer", extra="text")
            return cls(read("a tokenizer", where, library.AutoTokenizer.from_pretrained), texts, came)
        if len(came) != 1 or not came.keys() <= LEARNT.keys():
            raise UnknownName("tokenizer", ", ".join(came), LEARNT, hint="Or give a folder or a hub name.")
        ((kind, size),) = came.items()
        return cls.learnt(texts, kind=kind, size=size, cased=cased)

    @classmethod
    def learnt(cls, texts: Sequence[str], *, kind: str, size: int, cased: bool = False) -> WordList:
        """Tokens learnt from texts; the same texts give the same tokens.

        Args:
            texts: what to learn from.
            kind: `wordpiece`, pieces of words (##); `bpe`, byte pairs; `words`, the commonest words whole.
            size: how many tokens, the special ones and all letters included; fewer if the texts are short.
            cased: whether capitals and accents are told apart; else they are read as small plain letters.

        Source: wordpiece, Devlin et al., BERT, 2019, section 3; bpe, Sennrich et al. 2016, section 3.2.
        """
        if not isinstance(size, int) or size < _FEWEST:
            raise RecipeError(f"tokenizer: {{{kind}: {size}}}; expected a whole number of at least {_FEWEST}")
        library = optional("transformers", "a tokenizer", extra="text")
        parts = optional("tokenizers", "a tokenizer", extra="text")
        model = LEARNT[kind](parts, size, texts, cased=cased)
        numbers = [(SPECIAL[name], model.token_to_id(SPECIAL[name])) for name in ("cls_token", "sep_token")]
        model.post_processor = parts.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=numbers
        )
        read_as = ["input_ids", "token_type_ids", "attention_mask"]
        fast = library.PreTrainedTokenizerFast(tokenizer_object=model, model_input_names=read_as, **SPECIAL)
        return cls(fast, texts)

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None, *, length: int
    ) -> tuple[list[list[int]], list[list[int]] | None]:
        """The tokens of each text, or of each text and its pair, cut to a length.

        Returns:
            tokens; and of pairs which part each token is of, where the tokenizer says so, else None.
        """
        found = self.tokenizer(
            list(texts),
            *([] if pairs is None else [list(pairs)]),
            truncation=True,
            max_length=length,
            return_attention_mask=False,
        )
        tokens = [held or [self.padding] for held in found["input_ids"]]  # an empty text is one token
        kinds = None if pairs is None else found.get("token_type_ids")
        return tokens, kinds

    def encode_targets(self, texts: Sequence[str], *, length: int) -> list[list[int]]:
        """The tokens of texts that are to be written, cut to a length, without those that begin and end."""
        found = self.tokenizer(
            text_target=list(texts),
            add_special_tokens=False,
            truncation=True,
            max_length=length,
            return_attention_mask=False,
        )
        tokens: list[list[int]] = found["input_ids"]
        return tokens

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Texts of tokens, the special ones left out."""
        found = self.tokenizer.batch_decode(
            [list(held) for held in tokens], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [str(text).strip() for text in found]

    def encode_words(
        self, texts: Sequence[Sequence[str]], *, length: int
    ) -> tuple[list[list[int]], list[list[int | None]]]:
        """The tokens of texts that are lists of words, and the word that each token is of.

        Returns:
            tokens; and the word's place in its list, None for a special token.
        """
        found = self.tokenizer(
            [list(words) for words in texts],
            is_split_into_words=True,
            truncation=True,
            max_length=length,
            return_attention_mask=False,
        )
        return found["input_ids"], [found.word_ids(number) for number in range(len(texts))]

    def pieces(self, texts: Sequence[str], *, length: int) -> tuple[list[list[int]], list[int]]:
        """The tokens of texts in pieces of at most so many, and which text each piece is of."""
        found = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=length,
            return_overflowing_tokens=True,
            return_attention_mask=False,
        )
        return found["input_ids"], list(found["overflow_to_sample_mapping"])

    @property
    def begin(self) -> int:
        """The token that begins a text where it is written: BERT's `[CLS]`, `<s>`, or what fills up."""
        held = [self.tokenizer.cls_token_id, self.tokenizer.bos_token_id]
        return int(next((number for number in held if number is not None), self.padding))

    @property
    def end(self) -> int:
        """The token that ends a text.

        Raises:
            DataError: the tokenizer has none.
        """
        held = [self.tokenizer.eos_token_id, self.tokenizer.sep_token_id]
        found = next((number for number in held if number is not None), None)
        if found is None:
            raise DataError(
                f"the tokenizer {self.place!r} has no token that ends a text (eos_token), and a translation "
                "would never stop; save it with one, or have one learnt: task.tokenizer={bpe: 8000}"
            )
        return int(found)

    @property
    def special(self) -> list[int]:
        """The numbers of tokens that are no text."""
        return sorted({int(number) for number in self.tokenizer.all_special_ids})

    @property
    def mask(self) -> int:
        """The number of the token that hides another.

        Raises:
            DataError: the tokenizer has none.
        """
        if self.tokenizer.mask_token_id is None:
            raise DataError(
                f"the tokenizer {self.place!r} has no token that hides others (mask_token); take one of a "
                "masked language model, or have one learnt: task.tokenizer={wordpiece: 8000}"
            )
        return int(self.tokenizer.mask_token_id)
