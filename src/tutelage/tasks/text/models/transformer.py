"""A small Transformer that reads a text and writes another one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks.checks import require_positive
from tutelage.tasks.text.models.transformer_blocks import Block, State, seen

__all__ = ["Transformer", "transformer"]


class Transformer(nn.Module):
    """An encoder and a decoder (sequence to sequence), for translation.

    Its layers are guided and hint layers by these names: `encoder.0` and `decoder.0`, hidden states
    [N, length, hidden].

    Args:
        vocabulary: how many tokens there are, those of both texts together.
        length: the most positions of a text.
        hidden: numbers of a hidden state.
        layers: blocks of the encoder.
        decoder_layers: blocks of the decoder; as many by default.
        heads: attention heads of a block; they divide `hidden`.
        feed_forward: units between the two layers of a block; 4 × hidden by default.
        dropout: the probability that a number of an embedding, or of what a part of a block adds, is dropped
            in training.
        tied: whether the logits are read off by the embeddings, or by a matrix of their own.
        begin, end: the tokens that a translation begins and ends with.

    Shapes:
        input_ids, attention_mask [N, length], decoder_input_ids [N, written] -> logits
        [N, written, vocabulary] of the token after each. Without `decoder_input_ids` it translates: the
        logits from which each token of the translation was taken, the likeliest each time; after its end
        they mean nothing. Each text is translated as it would be alone, but for rounding.

    Raises:
        ModelError: sizes that do not fit, or texts that are too long.

    Source: Vaswani et al., Attention Is All You Need, 2017, section 3; one matrix for embeddings and logits
    as in section 3.4. Differences: norms before each part and after the last block (Xiong et al. 2020),
    learnt positions, GELU.
    """

    translates = True
    """Whether it translates where no `decoder_input_ids` are given."""

    def __init__(
        self,
        *,
        vocabulary: int,
        length: int,
        hidden: int = 128,
        layers: int = 2,
        decoder_layers: int | None = None,
        heads: int = 4,
        feed_forward: int | None = None,
        dropout: float = 0.1,
        tied: bool = True,
        begin: int = 0,
        end: int = 0,
    ) -> None:
        super().__init__()
        middle = 4 * hidden if feed_forward is None else feed_forward
        writing = layers if decoder_layers is None else decoder_layers
        require_positive(vocabulary=vocabulary, length=length, hidden=hidden, layers=layers)
        require_positive(decoder_layers=writing, heads=heads, feed_forward=middle)
        if hidden % heads:
            raise ModelError(f"hidden: {hidden} and heads: {heads}; the heads must divide hidden")
        self.begin, self.end, self.length = begin, end, length
        self.words = nn.Embedding(vocabulary, hidden)
        self.positions = nn.Embedding(length, hidden)
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.ModuleList(Block(hidden, heads, middle, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(
            Block(hidden, heads, middle, dropout, looks_across=True) for _ in range(writing)
        )
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.head = None if tied else nn.Linear(hidden, vocabulary, bias=False)
        self.apply(_begin)

    def forward(
        self,
        input_ids: Int[Tensor, "n length"],
        attention_mask: Int[Tensor, "n length"] | None = None,
        decoder_input_ids: Int[Tensor, "n written"] | None = None,
    ) -> Float[Tensor, "n written vocabulary"]:
        """Logits of a batch, of the texts that are given or of its own."""
        there = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        read = self._read(input_ids, there)
        if decoder_input_ids is None:
            return self._translate(read, there)
        states: list[State] = [{} for _ in self.decoder]
        return self._write(decoder_input_ids, read, there, states)

    def _read(self, tokens: Tensor, there: Tensor) -> Tensor:
        """The hidden states of the text that is read."""
        values = self._embed(tokens)
        for block in self.encoder:
            values = block(values, there=there)
        normed: Tensor = self.encoder_norm(values)
        return normed

    def _write(self, tokens: Tensor, read: Tensor, there: Tensor, states: list[State]) -> Tensor:
        """Logits after these tokens, which follow those that the states are of."""
        values = self._embed(tokens, start=seen(states[0]))
        for block, state in zip(self.decoder, states, strict=True):
            values = block(values, across=read, there=there, state=state)
        values = self.decoder_norm(values)
        logits: Tensor = F.linear(values, self.words.weight) if self.head is None else self.head(values)
        return logits

    def _translate(self, read: Tensor, there: Tensor) -> Tensor:
        """The likeliest token each time, until every text is ended or as long as it may be."""
        states: list[State] = [{} for _ in self.decoder]
        last = torch.full((len(read), 1), self.begin, device=read.device)
        ended = torch.zeros(len(read), dtype=torch.bool, device=read.device)
        found: list[Tensor] = []
        while len(found) < self.length and not bool(ended.all()):
            found.append(self._write(last, read, there, states))
            last = found[-1].argmax(-1)
            ended |= last[:, 0] == self.end
        return torch.cat(found, 1)

    def _embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        """One vector for each token."""
        stop = start + tokens.shape[1]
        if stop > self.length:
            raise ModelError(
                f"a text of {stop} tokens came, and this transformer has {self.length} positions; set "
                f"length: {stop}"
            )
        places = torch.arange(start, stop, device=tokens.device)
        scaled = self.words(tokens) * self.words.weight.shape[1] ** 0.5
        found: Tensor = self.dropout(scaled + self.positions(places))
        return found


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.weight.shape[1] ** -0.5)
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def transformer(
    *,
    vocabulary: int,
    length: int,
    hidden: int = 128,
    layers: int = 2,
    decoder_layers: int | None = None,
    heads: int = 4,
    feed_forward: int | None = None,
    dropout: float = 0.1,
    tied: bool = True,
    begin: int = 0,
    end: int = 0,
) -> Transformer:
    """An encoder and a decoder; arguments, shapes, layers and source are those of `Transformer`."""
    return Transformer(
        vocabulary=vocabulary,
        length=length,
        hidden=hidden,
        layers=layers,
        decoder_layers=decoder_layers,
        heads=heads,
        feed_forward=feed_forward,
        dropout=dropout,
        tied=tied,
        begin=begin,
        end=end,
    )
