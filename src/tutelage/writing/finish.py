"""Close a folder of text: list its shards, sum up, make damaged ones again."""

from __future__ import annotations

from typing import Any

from tutelage.answers import Texts, damage, write_about
from tutelage.evaluation import distinct_ngrams
from tutelage.runs.environment import versions
from tutelage.writing.writing import Writing

__all__ = ["finish", "repair"]


def finish(writing: Writing) -> dict[str, Any]:
    """List the shards, and sum up.

    Args:
        writing: the work, of which nothing is missing.

    Returns:
        form, texts, prompts, doubled (prompts that came twice), tokens, finished (texts that the teacher
        ended), distinct (the share of n-grams of words that are different ones, by n), bytes, shards,
        write_seconds (of all processes together), tokens_per_second, out.

    Raises:
        AnswersError: a shard is missing.
    """
    manifest = writing.promise().finish(writing.place)
    seconds = writing.spent()
    about = {
        "versions": versions(),
        "teacher": {"train_seconds": writing.train_seconds},
        "write_seconds": seconds,
    }
    write_about(writing.place, about)
    written = list(Texts(writing.place.url))
    variety = distinct_ngrams(one.continuation for one in written)
    return {
        "form": manifest.form,
        "texts": manifest.examples,
        "prompts": len(writing.prompts),
        "doubled": writing.doubled,
        "tokens": manifest.rows,
        "finished": sum(one.finished for one in written),
        "distinct": {str(size): share for size, share in variety.items()},
        "bytes": manifest.nbytes,
        "shards": len(manifest.shards),
        "tokens_per_second": manifest.rows / seconds if seconds else None,
        "out": writing.place.url,
    } | about


def repair(writing: Writing) -> list[str]:
    """Make damaged shards again; what was wrong with each."""
    found = []
    for number, record in enumerate(Texts(writing.place.url).manifest.shards):
        wrong = damage(writing.place, record)
        if wrong is not None:
            writing.make(number)
            found.append(wrong)
    return found
