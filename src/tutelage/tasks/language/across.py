"""A teacher that reads a text by its own tokens, and answers where they end together with the student's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

from tutelage.errors import UnknownName
from tutelage.tasks.language.vocabulary import Vocabulary
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Across", "Meeting", "meetings"]


@dataclass(frozen=True, slots=True)
class Meeting:
    """A place in a text where a token of the student's and one of the teacher's end at the same byte.

    Args:
        ours, theirs: the numbers of these tokens.
    """

    ours: int
    theirs: int


class Across(Teacher):
    """Answers about tokens of another vocabulary than its own (cross-tokenizer).

    Each document of a batch is written out, read by the teacher's own tokenizer, and shown to the teacher.
    Where a token of the student's ends at the same byte as one of the teacher's, both are about to say what
    comes next, and the teacher's answer holds there; elsewhere it has none. A document that begins or ends
    within a letter has no answers.

    Args:
        network: a causal language model.
        theirs: its tokenizer.
        ours: that of the student and the data.
        answers: "places": the teacher's logits where both meet, −inf elsewhere, for
            `response.SortedProbabilities`; or "spans": of what lies between two meetings its probability, the
            product over the teacher's tokens, for `spans.SpanTarget`.

    Shapes:
        batch: `input_ids` [N, length], with `documents` or one document a row.
        returns: logits [N, length, classes of the teacher], or [N, length, 2]: where in the row the span
            begins that a position is about (−1 for none), and the span's log-probability.

    Source: Boizard et al. 2024 for `places`, with positions found by bytes in place of counting; spans as in
    Minixhofer et al., Cross-Tokenizer Distillation via Approximate Likelihood Matching, 2025, section 3.
    """

    reads_labels = True  # it knows no classes of the student's, so that its quality cannot be measured

    def __init__(
        self,
        network: nn.Module,
        theirs: Vocabulary,
        ours: Vocabulary,
        *,
        answers: Literal["places", "spans"] = "places",
    ) -> None:
        super().__init__()
        if answers not in ("places", "spans"):
            raise UnknownName("kind of answers", answers, ("places", "spans"))
        self.network = network.eval().requires_grad_(False)
        self.theirs, self.ours, self.answers = theirs, ours, answers

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        tokens: Tensor = batch.inputs["input_ids"]
        documents = batch.inputs.get("documents", torch.zeros_like(tokens))
        places = _runs(documents)
        texts = [self.ours.text_of(tokens[row, start:stop].tolist()) for row, start, stop in places]
        kept = [(place, text) for place, text in zip(places, texts, strict=True) if text]
        found = self._empty(tokens)
        if not kept:
            return Outputs(found)
        read = self.theirs.begin([str(text) for _, text in kept])
        logits = self._asked(read, tokens.device)
        for number, ((row, start, stop), _) in enumerate(kept):
            met = meetings(
                self.ours.ends(tokens[row, start:stop].tolist()), self.theirs.ends(list(read[number]))
            )
            self._set(found[row], start, met, logits[number], read[number])
        return Outputs(found)

    def _empty(self, tokens: Tensor) -> Tensor:
        if self.answers == "places":
            width = int(self.network.get_output_embeddings().weight.shape[0])  # type: ignore[operator]
            return torch.full((*tokens.shape, width), -torch.inf, device=tokens.device)
        return torch.tensor([-1.0, 0.0], device=tokens.device).repeat(*tokens.shape, 1)

    def _asked(self, read: Sequence[Sequence[int]], device: torch.device) -> Tensor:
        """The teacher's logits; what fills up stands on the right, where nobody sees it."""
        longest = max(map(len, read))
        filled = [[*one, *[self.theirs.end] * (longest - len(one))] for one in read]
        with torch.no_grad():
            answer = self.network(input_ids=torch.tensor(filled, device=device))
            logits: Tensor = answer.logits if answer.logits is not None else answer.head.whole()
        return logits.float()

    def _set(
        self, found: Tensor, start: int, met: Sequence[Meeting], logits: Tensor, read: Sequence[int]
    ) -> None:
        """Put the answers about a document, which begins at `start`, into those of its row."""
        if self.answers == "places":
            for one in met:
                found[start + one.ours] = logits[one.theirs]
            return
        following = torch.tensor(list(read[1:]), device=logits.device)
        said = logits[: len(following)].log_softmax(-1).gather(-1, following.unsqueeze(-1)).squeeze(-1)
        for one, next_one in pairwise(met):
            span = slice(start + one.ours, start + next_one.ours)
            found[span, 0] = start + one.ours
            found[span, 1] = said[one.theirs : next_one.theirs].sum()


def meetings(ours: Sequence[int], theirs: Sequence[int]) -> list[Meeting]:
    """Where tokens of two readings of a text end together.

    Tokens that are no text end where they begin: before a text the last of them is meant, after it none.

    Args:
        ours, theirs: the byte at which each token ends, rising.

    Example:
        >>> [(one.ours, one.theirs) for one in meetings([1, 3, 4, 6], [0, 3, 6])]
        [(1, 1), (3, 2)]
    """
    own, other = _by_end(ours), _by_end(theirs)
    return [Meeting(number, other[end]) for end, number in own.items() if end in other]


def _by_end(ends: Sequence[int]) -> dict[int, int]:
    """The token that ends at each byte."""
    found: dict[int, int] = {}
    for number, end in enumerate(ends):
        if end == 0 or end not in found:
            found[end] = number
    return found


def _runs(documents: Int[Tensor, "n length"]) -> list[tuple[int, int, int]]:
    """Row, start and stop of each document."""
    found = []
    for row, numbers in enumerate(documents.tolist()):
        start = 0
        for place in range(1, len(numbers) + 1):
            if place == len(numbers) or numbers[place] != numbers[start]:
                found.append((row, start, place))
                start = place
    return found
