"""Prune a decoder of Transformers in depth and width, to another one of the same type."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from tutelage.compression.changer import Calibration, Changed, Changer, shown
from tutelage.compression.decoder import AXES, Decoder, Sizes
from tutelage.compression.decoder_scores import Scores, loss_on, parts_of, scores_of
from tutelage.compression.decoder_shapes import check_sizes, kept_of, shapes_within
from tutelage.compression.settle import settle
from tutelage.errors import ModelError, UnknownName
from tutelage.types import Batch

__all__ = ["PruneTransformer"]


class PruneTransformer(Changer):
    """Structured pruning of a language model by what its parts answer (Minitron).

    Blocks, hidden channels, heads and units of the MLPs that matter least on some training examples are taken
    out, all at once. What is left is a smaller network of the same type: its configuration says its sizes, so
    that `from_pretrained` reads the student, and the teacher that it was cut from teaches it again.

    What a part is worth, as the mean over tokens: of a hidden channel, |answer| of the norms, summed over
    them; of a unit of an MLP, |what goes into the MLP's last layer|; of a head, the norm of its answer, and
    of a group that shares keys and values the mean of its heads, since whole groups go; of a block, one minus
    the cosine between what goes in and what comes out.

    Within a budget of parameters sizes are found by a small search: each size in eighths of what it is, from
    two eighths on; for each number of layers the shape that loses the least share of its scores; and of
    these, the one whose loss on the examples is least before any training, or without labels the one that
    loses the least share. What is least before a training need not be least after it.

    Args:
        layers: how many blocks stay.
        hidden: how many channels stay between them.
        heads: how many heads stay in each block, whole groups of them.
        mlp: how many units stay in each block's MLP.
        parameters: the share of all parameters that may stay, below 1, or their number; sizes that are given
            beside it are not searched.
        blocks: what a block is worth: `cosine`; or `loss`, by how much the loss grows without it, which takes
            a pass over the examples for each block.
        examples: how many training examples are looked at.

    Raises:
        ValueError: nothing to cut to, or numbers that mean nothing.
        ModelError: no network of the Llama family (Llama, Mistral, Qwen2, Qwen3) nor GPT-2, of which layers
            and mlp alone can be cut; sizes that it cannot have; or no examples, when it is pruned.

    Source: Muralidharan et al. 2024, "Compact Language Models via Pruning and Knowledge Distillation"
        (Minitron), section 2: the scores of channels, units and heads, in one shot; Men et al. 2024,
        "ShortGPT", equation 1, block influence. Differences: means over tokens and over examples alike, where
        theirs are a mean and a norm; a head's score is not renewed for what pruned heads leave behind; shapes
        within a budget are compared before training, and one for each depth, where they train each a little.

    Example:
        >>> PruneTransformer(hidden=384, mlp=1024).asked
        {'hidden': 384, 'mlp': 1024}
    """

    def __init__(
        self,
        *,
        layers: int | None = None,
        hidden: int | None = None,
        heads: int | None = None,
        mlp: int | None = None,
        parameters: float | None = None,
        blocks: str = "cosine",
        examples: int = 64,
    ) -> None:
        given = dict(zip(AXES, (layers, hidden, heads, mlp), strict=True))
        self.asked = {name: size for name, size in given.items() if size is not None}
        for name, size in {**self.asked, "examples": examples}.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} came as {size!r}; a whole number of 1 or more is expected")
        if not self.asked and parameters is None:
            raise ValueError(
                "prune_transformer was not told what to cut to; give layers, hidden, heads or mlp, or "
                "parameters: 0.5"
            )
        if parameters is not None and (isinstance(parameters, bool) or not parameters > 0 or parameters == 1):
            raise ValueError(
                f"parameters came as {parameters!r}; a share below 1, or a number of parameters is expected"
            )
        if blocks not in ("cosine", "loss"):
            raise UnknownName("score of blocks:", blocks, ("cosine", "loss"))
        self.parameters, self.blocks, self.examples = parameters, blocks, examples

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """Prune in place; what was kept, the sizes, and what of the search was tried."""
        decoder = Decoder(settle(network))
        check_sizes(decoder, self.asked, searched=self.parameters is not None)
        examples = shown(calibration, name="prune_transformer")
        parts = parts_of(examples, count=self.examples)
        scores = scores_of(decoder, examples, parts, blocks=self.blocks)
        counted, now = decoder.counter(), decoder.sizes
        sizes, tried = self._sizes(decoder, scores, examples, parts)
        if sizes == now:
            raise ModelError(
                f"prune_transformer found nothing to take out: the network has {now.as_dict()} already"
            )
        counts = {"before": counted(now), "after": counted(sizes)}
        kept = kept_of(decoder, scores, sizes)
        decoder.cut(kept)
        return Changed(network, {**kept, "sizes": sizes.as_dict(), "parameters": counts, "tried": tried})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        """Bring a network that was built anew into the pruned shape."""
        Decoder(settle(network)).cut(done)
        return network

    def _sizes(
        self, decoder: Decoder, scores: Scores, examples: Calibration, parts: list[Batch]
    ) -> tuple[Sizes, list[dict[str, Any]]]:
        """The sizes to cut to, and the shapes that were tried for it."""
        now = decoder.sizes
        if self.parameters is None:
            return Sizes(**now.as_dict() | self.asked), []
        share = self.parameters < 1
        budget = int(self.parameters * decoder.counter()(now)) if share else int(self.parameters)
        found = shapes_within(decoder, scores, self.asked, budget)
        tried = []
        for sizes, lost in found:
            loss = None
            if examples.loss is not None and len(found) > 1:
                twin = Decoder(copy.deepcopy(decoder.network))
                twin.cut(kept_of(twin, scores, sizes))
                loss = loss_on(twin.network, examples, parts)
            tried.append({"sizes": sizes.as_dict(), "lost": lost, "loss": loss})
        chosen = min(range(len(found)), key=lambda at: (tried[at]["loss"] or 0.0, tried[at]["lost"]))
        return found[chosen][0], tried
