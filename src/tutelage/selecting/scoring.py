"""Ask two networks how likely each document is, and keep what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from tutelage.answers import Place, ShardRecord
from tutelage.answers.shards import put_shard, read_record
from tutelage.engine import Runtime
from tutelage.errors import AnswersError, ModelError
from tutelage.labelling.sharded_work import ShardedWork
from tutelage.selecting.settings import SelectSettings
from tutelage.studies import Study
from tutelage.tasks.problem import Corpus
from tutelage.teachers import Frozen
from tutelage.trust import parse_json
from tutelage.types import Batch, Outputs

__all__ = ["Score", "Scoring"]


@dataclass(frozen=True)
class Score:
    """What two networks say of a document.

    Args:
        teacher, reference: the sum of the log-probabilities of its tokens, in nats.
        tokens: how many were asked about.
    """

    teacher: float
    reference: float
    tokens: int

    @property
    def value(self) -> float:
        """By how much the teacher finds a token of it likelier than the reference does, in nats."""
        return (self.teacher - self.reference) / self.tokens


class Scoring(ShardedWork):
    """The work of one selection: a shard is a stretch of the documents.

    Args:
        study: whose documents.
        corpus: these.
        both: the large network and the small one.
        place: where the scores go.
        runtime: where to ask; several processes share the shards.
        settings: how the work is cut.
    """

    def __init__(
        self,
        study: Study,
        corpus: Corpus,
        both: tuple[Frozen, Frozen],
        place: Place,
        *,
        runtime: Runtime,
        settings: SelectSettings,
    ) -> None:
        super().__init__(place, runtime)
        self.study, self.corpus, self.settings = study, corpus, settings
        self.teacher, self.reference = both

    @property
    def sizes(self) -> Sequence[int]:
        """How many documents each shard has."""
        whole, each = len(self.corpus), self.settings.shard_documents
        return [min(each, whole - start) for start in range(0, whole, each)]

    def make(self, number: int) -> ShardRecord:
        """Score the documents of a shard, and write what came of it."""
        start = number * self.settings.shard_documents
        asked = range(start, start + self.sizes[number])
        sums = torch.zeros(2, len(asked), dtype=torch.float64)
        counts = torch.zeros(len(asked), dtype=torch.int64)
        for batch, owners in self.corpus.batches(asked, rows=self.settings.batch_size):
            self.heed_stop()
            there = owners >= 0
            counts += torch.bincount(owners[there], minlength=len(asked))
            for who, teacher in enumerate((self.teacher, self.reference)):
                sums[who].index_add_(0, owners[there], self._log_probs(teacher, batch)[there])
        if not bool(sums.isfinite().all()):
            raise ModelError(
                "a document is impossible to one of the networks (its log-probability is not finite); look "
                "for NaN in their weights"
            )
        held = zip(*sums.tolist(), counts.tolist(), strict=True)
        content = "".join(f"{json.dumps(asdict(Score(*one)))}\n" for one in held).encode()
        rows = int(counts.sum())
        return put_shard(self.place, number, content, ending="jsonl", examples=len(asked), rows=rows)

    def note(self, record: ShardRecord, seconds: float) -> Mapping[str, float]:
        """How fast the shard that was made last was scored."""
        return {"tokens a second": record.rows / seconds}

    def scores(self) -> list[Score]:
        """What was said of all documents, in their order.

        Raises:
            AnswersError: a shard is missing.
        """
        found: list[Score] = []
        for number in range(len(self.sizes)):
            record = read_record(self.place, number)
            if record is None or not self.place.exists(record.name):
                raise AnswersError(
                    f"{self.place.url} lacks the scores of shard {number}; the same call makes them"
                )
            lines = self.place.read(record.name).splitlines()
            found += [Score(**parse_json(line)) for line in lines]
        return found

    def _log_probs(self, teacher: Frozen, batch: Batch) -> Tensor:
        """Of each position's label, on the CPU; 0 where there is none. A row's logits at a time."""
        moved = batch.to(self.runtime.device)
        with self.runtime.autocast(teacher.precision or "float32"):
            said = teacher(moved)
        rows = [_of_row(said, moved.labels, row) for row in range(len(batch))]
        return torch.stack(rows).double().cpu()


def _of_row(said: Outputs, labels: Tensor, row: int) -> Tensor:
    logits = said.logits
    if said.head is not None:
        own = replace(said.head, hidden=said.head.hidden[row : row + 1]).whole()[0]
    elif logits is not None:
        own = logits[row]
    else:
        raise ModelError("a network answered without logits; a causal language model is expected")
    wanted = labels[row].clamp(min=0).unsqueeze(-1)
    found = own.float().log_softmax(-1).gather(-1, wanted).squeeze(-1)
    return torch.where(labels[row] >= 0, found, 0.0)
