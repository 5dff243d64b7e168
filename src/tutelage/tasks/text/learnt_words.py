"""Tokenizers learnt from texts: pieces of words, byte pairs, or words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["LEARNT", "SPECIAL"]

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
"""The special tokens of what is learnt here, by Transformers' names; BERT's, numbered in this order."""


class Learns(Protocol):
    """Learns a tokenizer of the library `tokenizers`, the same one from the same texts."""

    def __call__(self, parts: Any, size: int, texts: Sequence[str], /, *, cased: bool) -> Any:
        """So many tokens at most; without `cased`, capitals and accents are read as small plain letters."""


def _normalizer(parts: Any, *, cased: bool) -> Any:
    if cased:
        return parts.normalizers.NFC()
    return parts.normalizers.BertNormalizer(lowercase=True)


def _wordpiece(parts: Any, size: int, texts: Sequence[str], *, cased: bool) -> Any:
    """Pieces of words. The trainer numbers letters within words as it meets them, in another order each time.

    So they are named to it in theirs.
    """
    normalizer = _normalizer(parts, cased=cased)
    letters = {letter for text in texts for letter in normalizer.normalize_str(text) if not letter.isspace()}
    named = [*SPECIAL.values(), *(f"##{letter}" for letter in sorted(letters))]
    trainer = parts.trainers.WordPieceTrainer(vocab_size=size, special_tokens=named, show_progress=False)

    def made(vocabulary: Mapping[str, int] | None = None) -> Any:
        settings = {} if vocabulary is None else {"vocab": dict(vocabulary)}
        model = parts.Tokenizer(parts.models.WordPiece(unk_token=SPECIAL["unk_token"], **settings))
        model.normalizer, model.pre_tokenizer = normalizer, parts.pre_tokenizers.BertPreTokenizer()
        model.decoder = parts.decoders.WordPiece()
        return model

    first = made()
    first.train_from_iterator(texts, trainer)
    return made(first.get_vocab())  # without what was named being special


def _bpe(parts: Any, size: int, texts: Sequence[str], *, cased: bool) -> Any:
    """Byte pairs."""
    model = parts.Tokenizer(parts.models.BPE(unk_token=SPECIAL["unk_token"]))
    model.normalizer = _normalizer(parts, cased=cased)
    model.pre_tokenizer = parts.pre_tokenizers.ByteLevel(add_prefix_space=True)
    model.decoder = parts.decoders.ByteLevel()
    alphabet = sorted(parts.pre_tokenizers.ByteLevel.alphabet())
    trainer = parts.trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, **_plain())
    model.train_from_iterator(texts, trainer)
    return model


def _words(parts: Any, size: int, texts: Sequence[str], *, cased: bool) -> Any:
    """Whole words, the commonest first."""
    model = parts.Tokenizer(parts.models.WordLevel(unk_token=SPECIAL["unk_token"]))
    model.normalizer = _normalizer(parts, cased=cased)
    model.pre_tokenizer = parts.pre_tokenizers.BertPreTokenizer()
    model.train_from_iterator(texts, parts.trainers.WordLevelTrainer(vocab_size=size, **_plain()))
    return model


def _plain() -> dict[str, Any]:
    return {"special_tokens": list(SPECIAL.values()), "show_progress": False}


LEARNT: Mapping[str, Learns] = {
    "wordpiece": _wordpiece,
    "bpe": _bpe,
    "words": _words,
}
"""By what a recipe calls them."""
