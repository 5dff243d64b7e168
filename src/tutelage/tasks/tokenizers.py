"""Whether two tokenizers give the same numbers to the same words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from tutelage.errors import CheckpointError, ModelError
from tutelage.tasks.transformers_library import optional, place_of, read

__all__ = ["Words", "aligned", "check_words", "differing"]


class Words(Protocol):
    """A tokenizer of Transformers', as a task holds it."""

    tokenizer: Any
    samples: list[str]
    """Some texts that it is for, which messages show."""
    place: str | None
    """Where it was read from, if anywhere."""

    def __len__(self) -> int: ...


def check_words(words: Words, path: str, gguf_file: str | None = None) -> None:
    """Refuse a network whose own tokenizer gives words other numbers than the one that texts are read with.

    A network without a tokenizer beside its weights says nothing of its numbers, and is let through. Tokens
    that are special in one of the two, such as those that begin a turn of a chat, may differ.

    Args:
        words: what texts are read with.
        path: where the network's weights are.
        gguf_file: see `place_of`.

    Raises:
        ModelError: numbers that stand for other words, with three texts as both read them.
    """
    if path == words.place:
        return
    own = _tokenizer_at(path, gguf_file)
    if own is None:
        return
    differ = differing(words.tokenizer, own)
    if not differ:
        return
    number, (ours, theirs) = next(iter(differ.items()))
    shown = "".join(f"\n  {line}" for text in words.samples for line in aligned(text, words.tokenizer, own))
    raise ModelError(
        f"the network at {path!r} was made with another tokenizer than the task's "
        f"({words.place or 'learnt here'}): of {len(words)} numbers {len(differ)} stand for other words, as "
        f"{number} does, {ours!r} here and {theirs!r} there, so that its answers cannot be compared class by "
        f"class. Texts as both read them, the task's first:{shown}\nTake a teacher and a student of one "
        "family, with task.tokenizer theirs; or let the teacher read its own tokens (teacher: across)"
    )


def differing(ours: Any, theirs: Any) -> dict[int, tuple[str | None, str | None]]:
    """Numbers that stand for other words in two tokenizers, special tokens apart.

    Args:
        ours: whose numbers are looked at.
        theirs: the other; what it has beyond ours does not matter.

    Returns:
        number -> the word in ours and in theirs, None where there is none.
    """
    one, other = _words_of(ours), _words_of(theirs)
    special = _special(ours) | _special(theirs)
    return {
        number: (word, other.get(number))
        for number, word in sorted(one.items())
        if other.get(number) != word and number not in special
    }


def aligned(text: str, ours: Any, theirs: Any) -> list[str]:
    """A text as two tokenizers cut it, a line each."""
    return ["|".join(_cut(text, one)) for one in (ours, theirs)]


def _words_of(tokenizer: Any) -> Mapping[int, str]:
    return {int(number): str(word) for word, number in tokenizer.get_vocab().items()}


def _special(tokenizer: Any) -> set[int]:
    named = {int(number) for number in tokenizer.all_special_ids}
    return named | {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}


def _cut(text: str, tokenizer: Any) -> list[str]:
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [str(tokenizer.decode([token])) for token in tokens]


@lru_cache(maxsize=8)
def _tokenizer_at(path: str, gguf_file: str | None) -> Any:
    """The tokenizer beside a network's weights; None where there is none."""
    where, options = place_of(path, gguf_file)
    folder = Path(where)
    if folder.is_dir() and not options and not any(folder.glob("tokenizer*")):
        return None
    library = optional("transformers", "a tokenizer")
    try:
        return read("a tokenizer", where, library.AutoTokenizer.from_pretrained, **options)
    except CheckpointError:
        return None
