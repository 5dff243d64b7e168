"""A small encoder of the shape of BERT."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks.checks import require_positive
from tutelage.tasks.text.models.heads import head_of
from tutelage.tasks.text.models.word_vectors import word_vectors
from tutelage.tasks.text.words import WordList

__all__ = ["Bert", "bert"]

_DEVIATION = 0.02  # of random weights


class Bert(nn.Module):
    """An encoder of the shape of BERT (TinyBERT, MiniLM): embeddings, blocks, and the head of a task.

    Its layers are guided and hint layers by these names: `embeddings` and `blocks.0`, hidden states
    [N, length, hidden]; `blocks.0.attention.query`, `.key` and `.value`, before they are cut into heads;
    `blocks.0.attention.scores` and `.weights`, attention [N, heads, length, length] before and after the
    softmax.

    Args:
        num_classes: how many logits it answers.
        vocabulary: how many tokens there are.
        length: the most positions of a text.
        hidden: numbers of a hidden state.
        layers: blocks.
        heads: attention heads of a block; they divide `hidden`.
        intermediate: units between the two layers of a block; 4 × hidden by default.
        embedding: numbers of a token's embedding, projected to `hidden`; as many by default.
        dropout: the probability that a hidden unit is dropped in training.
        answers: "class" or "value", one of each text; "tags" and "token", one at each position.

    Shapes:
        input_ids, attention_mask, token_type_ids [N, length] -> [N, num_classes], or of positions
        [N, length, num_classes].

    Raises:
        ModelError: sizes that do not fit, or texts that are too long.

    Source: Devlin et al., BERT, 2019: blocks with the norm after the sum, GELU, learnt positions, weights
    from a normal distribution of deviation 0.02; the first position answers, through a tanh layer. A smaller
    embedding is that of Lan et al., ALBERT, 2020, section 3.1. Difference: dropout of attention is that of
    hidden units.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        vocabulary: int,
        length: int,
        hidden: int = 128,
        layers: int = 2,
        heads: int = 2,
        intermediate: int | None = None,
        embedding: int | None = None,
        dropout: float = 0.1,
        answers: str = "class",
    ) -> None:
        super().__init__()
        middle, width = intermediate or 4 * hidden, embedding or hidden
        require_positive(num_classes=num_classes, vocabulary=vocabulary, length=length, hidden=hidden)
        require_positive(layers=layers, heads=heads, intermediate=middle, embedding=width)
        if hidden % heads:
            raise ModelError(f"hidden: {hidden} and heads: {heads}; the heads must divide hidden")
        self.embeddings = _Embeddings(vocabulary, length, width, hidden, dropout)
        self.blocks = nn.ModuleList(_Block(hidden, heads, middle, dropout) for _ in range(layers))
        self.head = head_of(answers, hidden, num_classes, dropout)
        self.apply(_begin)

    def forward(
        self,
        input_ids: Int[Tensor, "n length"],
        attention_mask: Int[Tensor, "n length"] | None = None,
        token_type_ids: Int[Tensor, "n length"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Logits of a batch."""
        there = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        values = self.embeddings(input_ids, token_type_ids)
        for block in self.blocks:
            values = block(values, there)
        logits: Tensor = self.head(values)
        return logits


class _Embeddings(nn.Module):
    """Words, positions and parts of a pair, added up."""

    def __init__(self, vocabulary: int, length: int, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.parts = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(width, hidden) if width != hidden else nn.Identity()

    def forward(self, tokens: Tensor, parts: Tensor | None) -> Tensor:
        """One vector for each token."""
        if tokens.shape[1] > len(self.positions.weight):
            raise ModelError(
                f"a text of {tokens.shape[1]} tokens came, and this bert has {len(self.positions.weight)} "
                f"positions; set length: {tokens.shape[1]}"
            )
        places = torch.arange(tokens.shape[1], device=tokens.device)
        parts = torch.zeros_like(tokens) if parts is None else parts
        found: Tensor = self.words(tokens) + self.positions(places) + self.parts(parts)
        projected: Tensor = self.projection(self.dropout(self.norm(found)))
        return projected


class _Attention(nn.Module):
    """Self-attention, whose parts can be looked at."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.out = nn.Linear(hidden, hidden)
        self.scores, self.weights = nn.Identity(), nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, there: Tensor) -> Tensor:
        """What each position takes from those that are there."""
        query, key, value = (
            layer(values).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = self.scores(query @ key.mT / query.shape[-1] ** 0.5)
        least = torch.finfo(scores.dtype).min
        weights = self.weights(scores.masked_fill(there[:, None, None, :] == 0, least).softmax(-1))
        taken: Tensor = self.out((self.dropout(weights) @ value).transpose(1, 2).flatten(2))
        return taken


class _Block(nn.Module):
    """Attention, then two layers, a norm after each."""

    def __init__(self, hidden: int, heads: int, middle: int, dropout: float) -> None:
        super().__init__()
        self.attention = _Attention(hidden, heads, dropout)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.widen, self.narrow = nn.Linear(hidden, middle), nn.Linear(middle, hidden)
        self.last_norm = nn.LayerNorm(hidden, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, there: Tensor) -> Tensor:
        """The hidden states after this block."""
        values = self.norm(values + self.dropout(self.attention(values, there)))
        made = self.narrow(F.gelu(self.widen(values)))
        hidden: Tensor = self.last_norm(values + self.dropout(made))
        return hidden


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_DEVIATION)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def bert(
    *,
    num_classes: int,
    vocabulary: int,
    length: int,
    hidden: int = 128,
    layers: int = 2,
    heads: int = 2,
    intermediate: int | None = None,
    embedding: int | None = None,
    dropout: float = 0.1,
    embeddings_from: str | None = None,
    words: WordList | None = None,
    answers: str = "class",
) -> Bert:
    """A small encoder of the shape of BERT; arguments, shapes, layers and source are those of `Bert`.

    Args:
        embeddings_from: an encoder of Transformers, a folder or a name on the hub: word embeddings begin as
            its own, reduced to `embedding` numbers; see `word_vectors`. None for random ones.
        words: the tokenizer that texts are read with; the task says it.
    """
    network = Bert(
        num_classes=num_classes,
        vocabulary=vocabulary,
        length=length,
        hidden=hidden,
        layers=layers,
        heads=heads,
        intermediate=intermediate,
        embedding=embedding,
        dropout=dropout,
        answers=answers,
    )
    if embeddings_from is not None:
        held = network.embeddings.words.weight
        found = word_vectors(embeddings_from, vocabulary=vocabulary, width=held.shape[1], words=words)
        held.data.copy_(found)
    return network
