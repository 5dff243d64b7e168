"""A recurrent network that reads a text both ways."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from tutelage.errors import UnknownName
from tutelage.tasks.networks.checks import require_positive

__all__ = ["BiLSTM", "bilstm"]


class BiLSTM(nn.Module):
    """A bidirectional LSTM over embeddings of words, the student of Tang et al.

    The last states of both directions go through one layer of rectified units. Its layers are `embeddings`,
    [N, length, embedding], and `hidden`, [N, width].

    Args:
        num_classes: how many logits it answers.
        vocabulary: how many tokens there are.
        embedding: numbers of a token's embedding.
        hidden: units of each direction.
        layers: LSTM layers.
        width: units between the LSTM and the logits.
        dropout: the probability that an embedding's number or a unit is dropped in training.
        answers: "class" or "value"; of positions it has no answer.

    Shapes:
        input_ids, attention_mask [N, length] -> [N, num_classes]. Texts are filled up on the right.

    Raises:
        ModelError: a size below 1.
        UnknownName: an answer that it cannot give.

    Source: Tang et al., Distilling Task-Specific Knowledge from BERT into Simple Neural Networks, 2019,
    section 3.1, for sentences one by one: 150 LSTM units, 200 rectified ones. Difference: embeddings start
    at random, where theirs are word2vec's, of 300 numbers.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        vocabulary: int,
        embedding: int = 300,
        hidden: int = 150,
        layers: int = 1,
        width: int = 200,
        dropout: float = 0.0,
        answers: str = "class",
    ) -> None:
        super().__init__()
        require_positive(num_classes=num_classes, vocabulary=vocabulary, embedding=embedding)
        require_positive(hidden=hidden, layers=layers, width=width)
        if answers not in ("class", "value"):
            raise UnknownName("answer of a bilstm", answers, ["class", "value"])
        self.embeddings = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True, bidirectional=True)
        self.hidden = nn.Sequential(nn.Linear(2 * hidden, width), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes)

    def forward(
        self,
        input_ids: Int[Tensor, "n length"],
        attention_mask: Int[Tensor, "n length"] | None = None,
        token_type_ids: Int[Tensor, "n length"] | None = None,  # noqa: ARG002 (pairs are told apart by [SEP])
    ) -> Float[Tensor, "n classes"]:
        """Logits of a batch."""
        there = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        lengths = there.sum(1).clamp(min=1)
        packed = pack_padded_sequence(
            self.dropout(self.embeddings(input_ids)), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        _, (last, _) = self.lstm(packed)
        both = torch.cat([last[-2], last[-1]], -1)
        logits: Tensor = self.head(self.dropout(self.hidden(both)))
        return logits


def bilstm(
    *,
    num_classes: int,
    vocabulary: int,
    embedding: int = 300,
    hidden: int = 150,
    layers: int = 1,
    width: int = 200,
    dropout: float = 0.0,
    answers: str = "class",
) -> BiLSTM:
    """A bidirectional LSTM; arguments, shapes, layers and source are those of `BiLSTM`."""
    return BiLSTM(
        num_classes=num_classes,
        vocabulary=vocabulary,
        embedding=embedding,
        hidden=hidden,
        layers=layers,
        width=width,
        dropout=dropout,
        answers=answers,
    )
