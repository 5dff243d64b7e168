"""How translations are examined: BLEU and chrF beside what each token of the reference is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.data import Source
from tutelage.errors import AnswersError, DataError, ModelError, UnknownName
from tutelage.evaluation import Predictions, predict, row_and_position
from tutelage.tasks.exam import TokenExam
from tutelage.tasks.text.words import WordList
from tutelage.tasks.transformers_library import optional
from tutelage.types import UNLABELLED, Batch, Outputs, map_tensors

__all__ = ["METRICS", "TranslationExam", "Translations", "together", "translated"]

METRICS = ("bleu", "chrf", "nll")
"""What a verdict on translations may be about."""

_AT_ONCE = 64  # texts that are translated together; their logits are in memory


class Translations(Predictions):
    """Answers about the tokens of references, and how the network's own translations compare with these.

    Args:
        answers: about the tokens.
        rows: the texts that were translated, by their ids.
        counts: by metric, what of each translation is counted, [texts, numbers].
    """

    def __init__(self, answers: Predictions, rows: Tensor, counts: Mapping[str, Tensor]) -> None:
        super().__init__(
            answers.logits, answers.labels, answers.ids, scores=answers.scores, sampled=answers.sampled
        )
        self.rows, self.counts = rows, counts

    def take(self, places: Tensor) -> Translations:
        """The items at these places, with the translations of their texts."""
        kept = super().take(places)
        there = torch.isin(self.rows, row_and_position(kept.ids)[0])
        counts = {name: held[there] for name, held in self.counts.items()}
        return Translations(kept, self.rows[there], counts)


class TranslationExam(TokenExam):
    """Translations, measured by BLEU or chrF of what a network writes itself, the likeliest token each time.

    Both are those of sacrebleu with its own settings, over all texts together; the negative log-likelihood
    (NLL) of the references' tokens stands beside them.

    Args:
        words: the tokenizer.
        references: by their tokens, from the first to the one that ends them, the texts as they were written.
        metric: `bleu` or `chrf`, what the verdict is about and weights are chosen by.
        length: at which a translation is cut off where several networks write it together.

    Raises:
        UnknownName: another metric.
        MissingExtra: sacrebleu is not installed.

    Source: Papineni et al. 2002; Popović 2015; Post 2018, "A Call for Clarity in Reporting BLEU Scores".
    """

    higher_is_better = True

    def __init__(
        self,
        words: WordList,
        references: Mapping[tuple[int, ...], str],
        *,
        metric: str = "bleu",
        length: int = 64,
    ) -> None:
        super().__init__()
        if metric not in METRICS[:2]:
            raise UnknownName("metric of translations", metric, METRICS)
        self.words, self.references, self.metric, self.length = words, references, metric, length
        kinds = optional("sacrebleu.metrics", "BLEU and chrF of translations", extra="text")
        self._kinds: Mapping[str, Any] = {"bleu": kinds.BLEU(), "chrf": kinds.CHRF()}

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Translations:
        """Answers about the references' tokens, and translations.

        Answers that were stored are of given tokens alone, and nothing is translated by them.
        """
        rows: list[Tensor] = []
        written: list[str] = []
        true: list[str] = []

        def noted() -> Iterator[Batch]:
            for batch in batches:
                with suppress(AnswersError):
                    own = self._own(answer, batch.to(device))
                    written.extend(self.words.decode([tokens for tokens, _ in own]))
                    true.extend(map(self._reference, batch.labels))
                    rows.append(batch.ids.long().cpu())
                yield batch

        found = predict(answer, noted(), device=device)
        counts = {name: _counts(kind, written, true) for name, kind in self._kinds.items()}
        return Translations(found, torch.cat(rows) if rows else found.ids[:0], counts)

    def measure(self, answers: Predictions) -> dict[str, float]:
        """BLEU and chrF, from 0 to 100; then NLL, perplexity and accuracy of the references' tokens."""
        assert isinstance(answers, Translations)
        if not len(answers.rows):
            raise DataError("not one text was translated, so that no translation can be measured")
        found = {
            name: float(kind._aggregate_and_compute(answers.counts[name].tolist()).score)
            for name, kind in self._kinds.items()
        }
        return found | super().measure(answers)

    def clusters(self, answers: Predictions, source: Source) -> Tensor:
        """The text of each position."""
        return source.examples_of(answers.ids)

    def _own(self, answer: Callable[[Batch], Outputs], batch: Batch) -> list[tuple[list[int], bool]]:
        """What is written for a batch: by one network as it likes, by several of a teacher token by token."""
        held = answer.modules() if isinstance(answer, nn.Module) else [answer]
        single = sum(bool(getattr(one, "translates", False)) for one in held) == 1
        if single or not isinstance(answer, nn.Module):
            return translated(answer, batch, self.words.end)
        return together(answer, batch, begin=self.words.begin, end=self.words.end, length=self.length)

    def _reference(self, labels: Tensor) -> str:
        tokens = labels[labels != UNLABELLED].tolist()
        held = self.references.get(tuple(tokens))
        return self.words.decode([tokens])[0] if held is None else held


def translated(
    answer: Callable[[Batch], Outputs], batch: Batch, end: int, *, limit: int | None = None
) -> list[tuple[list[int], bool]]:
    """The tokens that a network writes itself for each text of a batch, and whether it ended them.

    Args:
        answer: who is asked, without `decoder_input_ids`; see `tutelage.tasks.text.models.transformer`.
        batch: of texts.
        end: the token that ends a translation; it is left out.
        limit: where a translation is cut off, if the network has not ended it before.

    Raises:
        ModelError: it gives no logits [texts, length, tokens].
    """
    inputs = {name: held for name, held in batch.inputs.items() if name != "decoder_input_ids"}
    found: list[tuple[list[int], bool]] = []
    for start in range(0, len(batch), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        few = map_tensors(inputs, lambda tensor, some=some: tensor[some])  # type: ignore[misc]
        ids = batch.ids[some]
        logits = answer(replace(batch, inputs=few, ids=ids, labels=None, mask=None, keys=None)).logits
        if logits is None or logits.ndim != 3 or len(logits) != len(ids):
            came = "none" if logits is None else list(logits.shape)
            raise ModelError(
                f"logits of a translation [{len(ids)}, length, tokens] were expected where no "
                f"decoder_input_ids are given; got {came}"
            )
        found += [_cut_at(end, tokens[:limit]) for tokens in logits.argmax(-1).tolist()]
    return found


def together(
    answer: Callable[[Batch], Outputs], batch: Batch, *, begin: int, end: int, length: int
) -> list[tuple[list[int], bool]]:
    """The tokens that several networks write together: each time the likeliest by their common answer.

    Args:
        answer: who is asked about the tokens that are there so far.
        batch: of texts.
        begin, end: the tokens that a translation begins and ends with.
        length: where it is cut off.
    """
    tokens = torch.full((len(batch), 1), begin, device=batch.ids.device)
    while tokens.shape[1] <= length and not bool((tokens[:, 1:] == end).any(1).all()):
        inputs = {**batch.inputs, "decoder_input_ids": tokens}
        logits = answer(replace(batch, inputs=inputs, labels=None, mask=None, keys=None)).logits
        assert logits is not None
        tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], 1)
    return [_cut_at(end, own) for own in tokens[:, 1:].tolist()]


def _cut_at(end: int, tokens: Sequence[int]) -> tuple[list[int], bool]:
    """Tokens before the first that ends a text, and whether there is one."""
    held = list(tokens)
    return (held[: held.index(end)], True) if end in held else (held, False)


def _counts(kind: Any, written: Sequence[str], true: Sequence[str]) -> Tensor:
    """What a metric counts of each translation, as sacrebleu keeps it for drawing texts again."""
    held = kind._extract_corpus_statistics(list(written), [list(true)])
    return torch.tensor(held, dtype=torch.float64)
