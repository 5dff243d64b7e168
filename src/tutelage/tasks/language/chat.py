"""Conversations, and prompts with their completions: texts of which the answers alone are learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.errors import DataError

__all__ = ["Talk", "ask_by_template", "counted_tokens", "read_talks"]

_MESSAGES = ("messages", "conversations")
_ANSWERER = "assistant"


class Talk(str):
    """A text of which some parts are answers; as a string, what is said in it without any template.

    Args:
        prompt, completion: two strings that follow one another, or two lists of messages, each with a `role`
            and its `content`. Of strings the completion counts; of messages those of the assistant, within
            the completion where there is a prompt.
    """

    prompt: str | Sequence[Mapping[str, Any]]
    completion: str | Sequence[Mapping[str, Any]]

    def __new__(cls, prompt: Any, completion: Any) -> Talk:
        """A string that remembers its parts."""
        found = super().__new__(cls, "\n".join([*_said(prompt), *_said(completion)]))
        found.prompt, found.completion = prompt, completion
        return found


def read_talks(table: Any) -> list[Talk] | None:
    """The conversations of a table with a column `messages`, or `prompt` and `completion`; None of another.

    Raises:
        DataError: a row that is neither text nor messages, or without an answer.
    """
    names = table.column_names
    column = next((name for name in _MESSAGES if name in names), None)
    if column is not None:
        return [_checked(Talk([], row), column) for row in table[column][:]]
    if {"prompt", "completion"} <= set(names):
        pairs = zip(table["prompt"][:], table["completion"][:], strict=True)
        return [_checked(Talk(*pair), "completion") for pair in pairs]
    return None


def counted_tokens(talk: Talk, tokenizer: Any, end: int) -> tuple[list[int], list[bool]]:
    """The tokens of a conversation, by the tokenizer's own template, and which of them are answers.

    A token that is in part an answer's counts, and so does the one that ends it. A template says by itself
    which tokens begin a text, and none is added; what it writes after the last answer is left out.

    Args:
        talk: who says what.
        tokenizer: one of Transformers'.
        end: the token that ends a text, for answers that no token of the template's ends.

    Raises:
        DataError: the tokenizer has no template, or one by which a turn is written in another way once
            others follow.
    """
    if isinstance(talk.prompt, str):
        assert isinstance(talk.completion, str)
        text, spans = talk.prompt + talk.completion, [(len(talk.prompt), len(talk.prompt + talk.completion))]
    else:
        text, spans = _rendered(talk, tokenizer)
    found = tokenizer(
        text, add_special_tokens=isinstance(talk.prompt, str), return_offsets_mapping=True, verbose=False
    )
    tokens, places = list(found["input_ids"]), found["offset_mapping"]
    counts = [a < b and any(a < stop and b > start for start, stop in spans) for a, b in places]
    if not any(counts):
        return [*tokens, end], [False] * len(tokens) + [True]
    last = max(place for place, held in enumerate(counts) if held)
    tokens, counts = tokens[: last + 1], counts[: last + 1]
    if isinstance(talk.prompt, str) or tokens[-1] not in tokenizer.all_special_ids:
        tokens, counts = [*tokens, end], [*counts, True]
    return tokens, counts


def ask_by_template(prompt: str | Sequence[Mapping[str, Any]], tokenizer: Any) -> str:
    """A prompt as a model that was taught to answer wants it: by its template, up to where it answers."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    return _write(messages, tokenizer, asks=True)


def _rendered(talk: Talk, tokenizer: Any) -> tuple[str, list[tuple[int, int]]]:
    """The text by the template, and from where to where answers go."""
    if not tokenizer.chat_template:
        raise DataError(
            f"the data holds messages, and the tokenizer {tokenizer.name_or_path!r} has no chat template to "
            "write them by; take one of a model that was taught to answer (…-Instruct), or give prompt and "
            "completion as text"
        )
    assert not isinstance(talk.prompt, str)
    assert not isinstance(talk.completion, str)
    messages = [*talk.prompt, *talk.completion]
    text, spans = _write(messages, tokenizer, asks=False), []
    for number in range(len(talk.prompt), len(messages)):
        if messages[number]["role"] != _ANSWERER:
            continue
        before = _write(messages[:number], tokenizer, asks=True)
        after = _write(messages[: number + 1], tokenizer, asks=False).rstrip()
        if not (text.startswith(after) and after.startswith(before)):
            raise DataError(
                f"the chat template of {tokenizer.name_or_path!r} writes turn {number + 1} in another way "
                "when others follow it, so that its answer cannot be found; give conversations whose last "
                "turn alone is an answer, or prompt and completion"
            )
        spans.append((len(before), len(after)))
    return text, spans


def _write(messages: Sequence[Mapping[str, Any]], tokenizer: Any, *, asks: bool) -> str:
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asks))
    except Exception as error:  # whatever a template raises
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"the chat template of {tokenizer.name_or_path!r} cannot write {list(messages)[:1]}…: {said}"
        ) from error


def _said(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    held = part if isinstance(part, list | tuple) else []
    return [str(one.get("content", "")) for one in held if isinstance(one, Mapping)]


def _checked(talk: Talk, column: str) -> Talk:
    parts = (talk.prompt, talk.completion)
    plain = all(isinstance(part, str) for part in parts)
    chat = all(isinstance(part, list) for part in parts) and all(
        isinstance(one, Mapping) and {"role", "content"} <= set(one) for part in parts for one in part
    )
    if not plain and not chat:
        raise DataError(
            f"the column {column!r} holds {talk.completion!r}, and text was expected, or messages: "
            '[{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]'
        )
    if chat and not any(one["role"] == _ANSWERER for one in talk.completion):  # type: ignore[index]
        raise DataError(f"a conversation in {column!r} has no turn of the assistant's, so nothing to learn")
    return talk
