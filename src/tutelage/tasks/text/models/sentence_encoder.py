"""Encoders of the Transformers library that answer with the embedding of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.compression.blocks import keep_blocks
from tutelage.errors import ModelError
from tutelage.tasks.text.models.pooling import Pooling, files_of_pooling, pooling_at
from tutelage.tasks.text.words import WordList
from tutelage.tasks.tokenizers import check_words
from tutelage.tasks.transformers_library import optional
from tutelage.tasks.transformers_networks import (
    check_length,
    check_size,
    from_config,
    from_path,
    read_config,
    set_attention,
)

__all__ = ["SentenceEncoder", "sentence_encoder"]


class SentenceEncoder(nn.Module):
    """What `sentence_encoder` adds to an encoder's class: hidden states are pooled to one embedding.

    Attributes:
        embedding: pools, and shows the embedding to matches.
        length: the most tokens of a text.
    """

    embedding: Pooling
    length: int | None
    config: Any

    def forward(
        self,
        input_ids: Int[Tensor, "n length"],
        attention_mask: Int[Tensor, "n length"] | None = None,
        **rest: Any,
    ) -> Float[Tensor, "n width"]:
        """The embedding of each text."""
        said = super().forward(input_ids=input_ids, attention_mask=attention_mask, **rest)
        found: Tensor = self.embedding(said.last_hidden_state, attention_mask)
        return found

    @property
    def files_beside(self) -> dict[str, Any]:
        """What Sentence Transformers reads beside the weights, as JSON, by the name of the file."""
        return files_of_pooling(
            self.embedding, width=int(self.config.get_text_config().hidden_size), length=self.length
        )


def sentence_encoder(
    *,
    path: str | None = None,
    config: Mapping[str, Any] | None = None,
    layers: Sequence[int] | None = None,
    pooling: str | None = None,
    normalise: bool | None = None,
    attention: str | None = None,
    encoder: str | None = None,
    vocabulary: int | None = None,
    length: int | None = None,
    words: WordList | None = None,
) -> nn.Module:
    """An encoder of Transformers whose answer is the embedding of a text, as Sentence Transformers makes it.

    Its weights are Transformers' own under their own names. Layers for matches are `embedding`, what it
    answers, and those of the encoder: in a BERT `embeddings` and `encoder.layer.0`, hidden states.

    Args:
        path: a folder with `config.json` and safetensors, or a name on the hub; the task's encoder where
            neither this nor `config` is given.
        config: `model_type` and that type's own settings, for random weights.
        layers: the numbers of the blocks to keep, from 0; None keeps all.
        pooling: "mean", over the tokens that count, or "cls", the first token. None takes what stands beside
            the weights (`1_Pooling/config.json`), and the mean where nothing does.
        normalise: whether embeddings are brought to length 1; None likewise, and no where nothing is said.
        attention: "sdpa" or "eager"; None takes the first where the network can.
        encoder: the task's; the task says it, and what follows.
        vocabulary: how many tokens there are, for a `config` without `vocab_size`.
        length: the most tokens of a text.
        words: the tokenizer that texts are read with; a network from `path` must have been made for it.

    Shapes:
        input_ids, attention_mask [N, length] -> [N, hidden].

    Raises:
        ModelError: both `path` and `config`, or neither and no encoder of the task's; texts that are too
            long; weights that were made for another tokenizer.
        CheckpointError: weights that are missing, truncated or pickled; a pooling that is not known.
        UnknownName: a model type, a setting or a pooling that there is not.
        MissingExtra: Transformers is not installed.

    Source:
        Reimers & Gurevych, Sentence-BERT, 2019, section 3; networks as the installed Transformers has them.
    """
    if path is not None and config is not None:
        raise ModelError("give either path (trained weights) or config (random ones), and not both")
    path = encoder if path is None and config is None else path
    library = optional("transformers", "sentence_encoder", extra="text")
    said = None if path is None else pooling_at(path) if None in (pooling, normalise) else None
    if config is not None:
        padding = {} if words is None else {"pad_token_id": words.padding}
        built = read_config(library, {**padding, **config}, vocabulary=vocabulary, length=length)
        network = from_config(library, built, "Model", advice="take bert, distilbert, electra or roberta")
    elif path is not None:
        if words is not None:
            check_words(words, path)
        network = from_path(library, path, "Model")
    else:
        raise ModelError("give path (trained weights) or config (random ones)")
    if vocabulary is not None:
        check_size(network, vocabulary)
    set_attention(network, attention)
    check_length(network, length)
    if layers is not None:
        keep_blocks(network, layers)
    mode, unit = said or ("mean", False)
    return _pooled(
        network, Pooling(pooling or mode, normalise=unit if normalise is None else normalise), length
    )


def _pooled(network: Any, pooling: Pooling, length: int | None) -> nn.Module:
    """The same network with another answer; what it had for the first token stays, and does not learn."""
    kind = type(network)
    if isinstance(getattr(network, "pooler", None), nn.Module):
        network.pooler.requires_grad_(False)
    network.embedding, network.length = pooling, length
    network.__class__ = type(f"Sentence{kind.__name__}", (SentenceEncoder, kind), {"__module__": __name__})
    made: nn.Module = network
    return made
