"""A tokenizer as GGUF knows it: byte pairs on bytes, or SentencePiece's pieces with bytes beside them."""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import TutelageWarning

__all__ = ["add_tokenizer", "cut_by"]

_DIGITS = {
    r"\p{N}{1,3}": "llama-bpe",
    r"\p{N}": "qwen2",
}
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 and Qwen 2 cut text into words; they differ in how many digits stay together."""


def add_tokenizer(writer: Any, folder: Path, size: int) -> bool:
    """Write a tokenizer into a GGUF file, if llama.cpp knows its kind; else warn.

    Args:
        writer: of the file.
        folder: with `tokenizer.json`, as Transformers saves it.
        size: of the network's vocabulary; what the tokenizer lacks of it is filled up with unused tokens.

    Returns:
        whether it was written.
    """
    file = folder / "tokenizer.json"
    held = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    model = held.get("model") or {}
    pieces = model.get("type") == "BPE" and bool(model.get("byte_fallback"))
    cut = None if pieces else cut_by(held)
    if model.get("type") != "BPE" or (not pieces and cut is None):
        warnings.warn(
            f"the tokenizer in {folder} is of a kind that GGUF has no word for, and is left out of the file; "
            "runtimes must be given its tokens",
            TutelageWarning,
            stacklevel=3,
        )
        return False
    package = importlib.import_module("gguf")
    tokens, kinds = _tokens(held, size, package.TokenType, pieces=pieces)
    writer.add_tokenizer_model("llama" if pieces else "gpt2")
    writer.add_tokenizer_pre("default" if pieces else cut)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if pieces:
        writer.add_token_scores(_scores(model, tokens))
    special = package.SpecialVocab(folder, load_merges=not pieces, n_vocab=size)
    special.add_special_token.setdefault("bos", False)
    special.add_to_gguf(writer, quiet=True)
    return True


def cut_by(held: Mapping[str, Any]) -> str | None:
    """llama.cpp's name of how a tokenizer on bytes cuts text into words; None where it has none.

    Args:
        held: what `tokenizer.json` holds.

    Example:
        >>> cut_by({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}})
        'gpt-2'
    """
    if held.get("normalizer") is not None and held["normalizer"].get("type") != "NFC":
        return None
    first = held.get("pre_tokenizer") or {}
    parts = first.get("pretokenizers", []) if first.get("type") == "Sequence" else [first]
    if not parts or parts[-1].get("type") != "ByteLevel" or parts[-1].get("add_prefix_space"):
        return None
    own, before = bool(parts[-1].get("use_regex", True)), parts[:-1]
    if not before:
        return "gpt-2" if own else None
    if len(before) > 1:
        return None
    if before[0].get("type") == "Digits" and before[0].get("individual_digits") and own:
        return "smollm"
    if before[0].get("type") == "Split" and not own:
        pattern = (before[0].get("pattern") or {}).get("Regex")
        return next((name for digits, name in _DIGITS.items() if pattern == _WORDS % digits), None)
    return None


def _tokens(held: Mapping[str, Any], size: int, kinds: Any, *, pieces: bool) -> tuple[list[str], list[int]]:
    """Each token and its kind, by number."""
    tokens = [f"[PAD{number}]" for number in range(size)]
    found = [int(kinds.UNUSED)] * size
    for token, number in held["model"]["vocab"].items():
        tokens[number] = token
        byte = pieces and re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", token)
        found[number] = int(kinds.BYTE if byte else kinds.NORMAL)
    for added in held.get("added_tokens", []):
        tokens[added["id"]] = added["content"]
        found[added["id"]] = int(kinds.CONTROL if added["special"] else kinds.USER_DEFINED)
    unknown = held["model"].get("unk_token")
    if pieces and unknown is not None:
        found[tokens.index(unknown)] = int(kinds.UNKNOWN)
    return tokens, found


def _scores(model: Mapping[str, Any], tokens: list[str]) -> list[float]:
    """The earlier a token is merged, the higher its score; who is not merged comes last."""
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(model["merges"]):
        left, right = pair.split(" ", 1) if isinstance(pair, str) else pair
        ranks.setdefault(left + right, rank)
    last = len(ranks)
    return [-float(ranks.get(token, last)) for token in tokens]
