"""Rollouts: a network goes on from the beginnings of rows, as it would write by itself."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tutelage.data import uniform
from tutelage.engine.spread_tensors import is_spread
from tutelage.errors import ModelError
from tutelage.modes import evaluating
from tutelage.tasks.language.models.packed import unpacked
from tutelage.types import UNLABELLED, Batch

__all__ = ["Rollout", "draw"]


class Rollout:
    """Rows whose first document is kept for some tokens, and from there on is what a network writes.

    A row becomes one document: its first `prompt` tokens (all but the end, where the document is shorter)
    and what the network draws after them, one token after the other, to the end of the row. Where it ends its
    text before, the rest of the row is a document of its own that nobody looks at and that does not count.
    What counts are the positions that the network wrote the next token of. None has a label: nobody but a
    teacher says what should stand there. A row whose first document is over at once keeps its text.

    The network is in eval mode while it writes, and keeps what it has read in memory, so that each token
    costs one position. It draws at a temperature of 1.

    Args:
        end: the token that ends a text.

    Example:
        >>> tokens = torch.tensor([[5, 6, 7, 8], [5, 0, 7, 8]])
        >>> Rollout(end=0).kept(tokens, torch.tensor([[0, 0, 0, 0], [0, 0, 1, 1]]), 3)
        tensor([3, 1])
    """

    def __init__(self, end: int) -> None:
        self.end = end

    def __call__(self, network: nn.Module, batch: Batch, *, seed: int, prompt: int) -> Batch:
        """The rows as the network writes them; what it draws depends on their ids and the seed.

        Args:
            network: a causal language model of Transformers; it is left as it was.
            batch: rows, as `Rows` gives them.
            seed: of the draws.
            prompt: tokens that are kept, at most.

        Raises:
            ModelError: the prompt fills the row, or the network cannot write, or its weights are spread over
                processes.
        """
        tokens, documents = batch.inputs["input_ids"], batch.inputs["documents"]
        _check(network, prompt, tokens.shape[1])
        kept = self.kept(tokens, documents, prompt)
        written = self._write(network, tokens, kept, batch.ids, seed)
        return _or_text(self._packed(written, kept, batch.ids), batch, kept > 0)

    def kept(
        self, tokens: Int[Tensor, "n length"], documents: Int[Tensor, "n length"], prompt: int
    ) -> Int[Tensor, " n"]:
        """How many tokens of each row are kept: of its first document, without its end."""
        sizes = (documents == documents[:, :1]).sum(1)
        ended = tokens.gather(1, sizes.unsqueeze(1) - 1).squeeze(1) == self.end
        return (sizes - ended.long()).clamp(max=prompt)

    def _write(
        self,
        network: Any,
        tokens: Int[Tensor, "n length"],
        kept: Int[Tensor, " n"],
        ids: Int[Tensor, " n"],
        seed: int,
    ) -> Int[Tensor, "n length"]:
        """The rows with what is drawn after what is kept; after an end, anything."""
        tokens, memory = tokens.clone(), None
        finished = kept == 0
        start = max(1, int(kept.min()))
        read = tokens[:, :start]
        with torch.no_grad(), evaluating(network), unpacked(network):
            for place in range(start, tokens.shape[1]):
                # its forward, and not itself, which `torch.compile` would compile for each length
                answer = network.forward(input_ids=read, past_key_values=memory, use_cache=True)
                memory = answer.past_key_values
                drawn = draw(answer.logits[:, -1], ids, seed=seed, place=place)
                writes = (place >= kept) & ~finished
                tokens[:, place] = torch.where(writes, drawn, tokens[:, place])
                finished |= writes & (drawn == self.end)
                if bool(finished.all()):
                    break
                read = tokens[:, place : place + 1]
        return tokens

    def _packed(
        self, tokens: Int[Tensor, "n length"], kept: Int[Tensor, " n"], ids: Int[Tensor, " n"]
    ) -> Batch:
        """Rows of one document each, which may be over before the row is."""
        places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        own = places >= kept.unsqueeze(1)
        ends = ((tokens == self.end) & own).long()
        over = ends.cumsum(1) > ends
        mask = torch.zeros_like(over)
        mask[:, :-1] = (own & ~over)[:, 1:]
        inputs = {
            "input_ids": tokens.masked_fill(over, self.end),
            "position_ids": torch.where(over, places - (~over).sum(1, keepdim=True), places),
            "documents": over.long(),
        }
        return Batch(inputs, ids, torch.full_like(tokens, UNLABELLED), mask)


def draw(
    logits: Float[Tensor, "n classes"], ids: Int[Tensor, " n"], *, seed: int, place: int
) -> Int[Tensor, " n"]:
    """One class for each example, from the softmax of its logits: the greatest after Gumbel noise was added.

    The noise of a class belongs to the example's id, so that a draw is the same in any batch. Logits that are
    off by a rounding change a draw as seldom as they change the shares; a number that is looked up in the
    summed shares would change its place as often as any of the sums changes, with many classes far oftener.

    Args:
        logits: raw scores.
        ids: of the examples.
        seed: changes every draw.
        place: tells apart the draws of one example.

    Source: Maddison et al. 2014, "A* Sampling", section 2; the noise is −log of an exponential variable.

    Example:
        >>> logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(10000, 3)
        >>> draw(logits, torch.arange(10000), seed=0, place=1).bincount()
        tensor([5037, 3046, 1917])
    """
    classes = logits.shape[-1]
    each = ids.unsqueeze(1) * classes + torch.arange(classes, device=ids.device)
    numbers = uniform(each.flatten(), seed=seed, draw=f"token {place}").view(logits.shape)
    waiting = (-torch.log1p(-numbers)).clamp(min=1e-300)
    return (logits.double() - waiting.log()).argmax(-1)


def _or_text(made: Batch, text: Batch, there: Bool[Tensor, " n"]) -> Batch:
    """What was made, and the text where nothing could be."""
    if bool(there.all()):
        return made
    rows = there.unsqueeze(1)
    inputs = {key: torch.where(rows, value, text.inputs[key]) for key, value in made.inputs.items()}
    assert made.mask is not None
    mask = torch.where(rows, made.mask, True if text.mask is None else text.mask)
    labels = made.labels if text.labels is None else torch.where(rows, made.labels, text.labels)
    return Batch(inputs, made.ids, labels, mask)


def _check(network: nn.Module, prompt: int, length: int) -> None:
    if prompt >= length:
        raise ModelError(
            f"prompt: {prompt} tokens of rows of {length} are kept, and nothing is left to write; set it "
            f"below {length}, or make rows longer with task.length"
        )
    kind = type(network).__name__
    if not hasattr(network, "generate"):
        raise ModelError(
            f"{kind} has no `generate` of Transformers, and so writes no text; take a causal language model "
            "of theirs (transformers_causal)"
        )
    if any(is_spread(parameter) for parameter in network.parameters()):
        raise ModelError(
            f"the weights of {kind} are spread over processes, and none of them can write by itself; leave "
            "sharded out"
        )
