"""What stands on hidden states of a text, by what is asked."""

from __future__ import annotations

from torch import Tensor, nn

from tutelage.errors import UnknownName

__all__ = ["ANSWERS", "head_of"]

ANSWERS = ("class", "value", "tags", "token")
"""What may be asked: one class or number of a text, or a class or a token at each position."""


class _First(nn.Module):
    """The hidden state at the first position, through a tanh layer."""

    def __init__(self, hidden: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.pooler = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, values: Tensor) -> Tensor:
        """Logits of each text."""
        logits: Tensor = self.classifier(self.dropout(self.pooler(values[:, 0]).tanh()))
        return logits


def head_of(answers: str, hidden: int, num_classes: int, dropout: float) -> nn.Module:
    """The head for what is asked.

    Raises:
        UnknownName: nothing that can be asked.
    """
    if answers not in ANSWERS:
        raise UnknownName("answer", answers, ANSWERS)
    if answers in ("class", "value"):
        return _First(hidden, num_classes, dropout)
    if answers == "tags":
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, num_classes))
    return nn.Sequential(
        nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden, eps=1e-12), nn.Linear(hidden, num_classes)
    )
