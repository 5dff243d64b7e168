"""Choose the best documents, and write them as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.errors import DataError
from tutelage.runs.environment import versions
from tutelage.selecting.scoring import Score, Scoring
from tutelage.tasks.language.selected import CHOSEN, write_selected

__all__ = ["chosen", "finish"]


def finish(work: Scoring) -> dict[str, Any]:
    """Write the documents that are kept, in their order, each with its score; and what was done.

    Args:
        work: of which nothing is missing.

    Returns:
        documents, kept, tokens, kept_tokens, keep, threshold (the least score that is kept), score and
        kept_score (means over tokens, in nats), out, data (the file).

    Raises:
        AnswersError: scores are missing.
        DataError: there is nothing to choose from.
    """
    scores = work.scores()
    numbers = chosen(scores, keep=work.settings.keep)
    assert work.place.local is not None
    rows = [work.corpus.row(number) | _said(scores[number], number) for number in numbers]
    kept = [scores[number] for number in numbers]
    about = {
        "documents": len(scores),
        "kept": len(numbers),
        "tokens": sum(one.tokens for one in scores),
        "kept_tokens": sum(one.tokens for one in kept),
        "keep": work.settings.keep,
        "reference": work.settings.reference or "the recipe's student, trained by labels",
        "threshold": min(one.value for one in kept),
        "score": _mean(scores),
        "kept_score": _mean(kept),
        "recipe": work.study.name,
        "versions": versions(),
    }
    write_selected(work.place.local, rows, about)
    return about | {"out": work.place.url, "data": str(work.place.local / CHOSEN), "seconds": work.spent()}


def chosen(scores: Sequence[Score], *, keep: float) -> list[int]:
    """The numbers of the documents that are kept, rising: the best, until they hold a share of the tokens.

    Of equal scores the first come first. Documents in which nothing is predicted are left out.

    Args:
        scores: of all documents.
        keep: the share of the tokens.

    Raises:
        DataError: nothing is predicted in any.

    Source: Gu et al. 2025, "MiniPLM: Knowledge Distillation for Pre-Training Language Models", difference
    sampling: the documents with the largest log p(x) of the teacher less that of the reference.
    Differences: the difference is that of a token, so that long documents are not favoured; the share is one
    of tokens.

    Example:
        >>> chosen([Score(-1.0, -2.0, 2), Score(-2.0, -2.0, 2), Score(-1.0, -5.0, 4)], keep=0.5)
        [2]
    """
    asked = [number for number, one in enumerate(scores) if one.tokens]
    if not asked:
        raise DataError("no document has two tokens, so that there is nothing to choose from")
    wanted = keep * sum(scores[number].tokens for number in asked)
    found, held = [], 0
    for number in sorted(asked, key=lambda number: -scores[number].value):
        if held >= wanted:
            break
        found.append(number)
        held += scores[number].tokens
    return sorted(found)


def _said(score: Score, number: int) -> dict[str, Any]:
    return {
        "score": score.value,
        "teacher_log_prob": score.teacher / score.tokens,
        "reference_log_prob": score.reference / score.tokens,
        "tokens": score.tokens,
        "document": number,
    }


def _mean(scores: Sequence[Score]) -> float:
    return sum(one.teacher - one.reference for one in scores) / max(1, sum(one.tokens for one in scores))
