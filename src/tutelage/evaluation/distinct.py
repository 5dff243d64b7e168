"""How varied some texts are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["distinct_ngrams"]


def distinct_ngrams(texts: Iterable[str], *, sizes: Sequence[int] = (1, 2, 3, 4)) -> dict[int, float | None]:
    """The share of n-grams of words that are different ones (distinct-n), over all texts together.

    A network that repeats itself has few. The share falls with the amount of text, so that it compares texts
    of as many words.

    Args:
        texts: words are what stands between white space.
        sizes: n of the n-grams, 1 or more.

    Returns:
        n -> the number of different n-grams by that of all, above 0 and at most 1; None where no text has so
        many words.

    Raises:
        ValueError: a size below 1.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", section
    5.2, distinct-1 and distinct-2. Differences: by n-grams, where theirs are by words.

    Example:
        >>> distinct_ngrams(["the owl saw the owl"], sizes=(1, 2))
        {1: 0.6, 2: 0.75}
    """
    if any(size < 1 for size in sizes):
        raise ValueError(f"sizes came as {list(sizes)}; n-grams of 1 word or more are expected")
    words = [text.split() for text in texts]
    found: dict[int, float | None] = {}
    for size in sizes:
        seen: set[tuple[str, ...]] = set()
        count = 0
        for text in words:
            grams = list(zip(*(text[place:] for place in range(size)), strict=False))
            seen.update(grams)
            count += len(grams)
        found[size] = len(seen) / count if count else None
    return found
