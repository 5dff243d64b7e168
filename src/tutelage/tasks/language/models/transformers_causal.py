"""Causal language models of the Transformers library: from a folder, the hub, or a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tutelage.adapters import Lora, adapter_layers, add_adapter
from tutelage.compression.blocks import keep_blocks
from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.language.models.packed import pack
from tutelage.tasks.language.vocabulary import Vocabulary
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

__all__ = ["transformers_causal"]

_KINDS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ATTENTION = ("sdpa", "eager")


def transformers_causal(
    *,
    path: str | None = None,
    gguf_file: str | None = None,
    config: Mapping[str, Any] | None = None,
    layers: Sequence[int] | None = None,
    lora: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    attention: str | None = None,
    head: bool = False,
    checkpointing: bool = False,
    vocabulary: int | None = None,
    length: int | None = None,
    words: Vocabulary | None = None,
) -> nn.Module:
    """A causal language model of Transformers: trained weights from `path`, or random ones from `config`.

    No pickle is read and no code of a checkpoint is run. The network is Transformers' own, with its own names
    of weights; besides `input_ids` it takes `position_ids` and `documents`, across which nobody looks.

    Args:
        path: a folder with `config.json` and safetensors, a GGUF file, or a name on the hub.
        gguf_file: the name of a GGUF file at `path`; its weights are unpacked.
        config: `model_type` ("llama", "qwen2" …) and that type's own settings; instead of `path`.
        layers: the numbers of the blocks to keep, from 0; None keeps all.
        lora: train an adapter alone, `{r: 16, alpha: 32, targets: [q_proj, v_proj], dropout: 0}`; see
            `tutelage.adapters.Lora`.
        dtype: of the weights: "float32", "bfloat16" or "float16".
        attention: how attention is computed: "sdpa", or "eager", which alone gives attention matrices; None
            takes the first where the network can.
        head: answer with `head` (what goes into the last layer, and that layer) instead of logits, for losses
            that work through a large vocabulary in chunks.
        checkpointing: keep the inputs of blocks alone for the backward pass, and compute what is between once
            more: less memory, a third more time.
        vocabulary: how many tokens there are, for a `config` without `vocab_size`; the task says it.
        length: positions in a row; the task says it.
        words: the tokenizer that texts are read with; the task says it. The network must have been made for
            it, and one from a `config` gets its end tokens.

    Shapes:
        input_ids, position_ids and documents [N, length] -> `logits` [N, length, vocabulary], or `head`.

    Raises:
        ModelError: both or neither of `path` and `config`; rows that are too long; no causal model; weights
            that were made for another tokenizer, or for fewer tokens; documents that cannot be kept apart.
        CheckpointError: weights that are missing, truncated, incomplete or pickled.
        UnknownName: a model type, a setting, a dtype or an attention that there is not.
        MissingExtra: Transformers is not installed; or PEFT, for an adapter.

    Source:
        The networks as the installed Transformers builds them.
    """
    if (path is None) == (config is None) or (gguf_file is not None and path is None):
        raise ModelError("give either path (trained weights) or config (random ones), and not both")
    for what, came, legal in (("dtype", dtype, _KINDS), ("attention", attention or "sdpa", _ATTENTION)):
        if came not in legal:
            raise UnknownName(what, came, legal)
    library = optional("transformers", "transformers_causal")
    if config is not None:
        own = {} if words is None else words.special
        network = _random(library, {**own, **config}, vocabulary, length).to(_KINDS[dtype])
    else:
        assert path is not None
        if words is not None:
            check_words(words, path, gguf_file)
        network = from_path(library, path, "CausalLM", dtype=_KINDS[dtype], gguf_file=gguf_file)
        if words is not None:
            _end_at(network, words.end)
    if vocabulary is not None:
        check_size(network, vocabulary)
        network.known_classes = vocabulary
    set_attention(network, attention)
    check_length(network, length)
    if layers is not None:
        keep_blocks(network, layers)
    if lora is not None:
        whole = config is None and layers is None and gguf_file is None
        add_adapter(network, Lora.read(lora), base=path if whole else None)
        _check_adapter(network, head=head)
    if checkpointing:
        _checkpoint(network)
    return pack(network, head=head, fresh=config is not None)


def _random(library: Any, config: Mapping[str, Any], vocabulary: int | None, length: int | None) -> Any:
    built = read_config(library, config, vocabulary=vocabulary, length=length)
    return from_config(library, built, "CausalLM", advice="take llama or qwen2")


def _end_at(network: Any, end: int) -> None:
    """Let it end a text at the tokenizer's end, beside the ends that it came with."""
    for said in (network.config, network.generation_config):
        held = said.eos_token_id
        ends = [] if held is None else list(held) if isinstance(held, list | tuple) else [held]
        if end not in ends:
            said.eos_token_id = [*ends, end] if ends else end


def _checkpoint(network: Any) -> None:
    if not network.supports_gradient_checkpointing:
        raise ModelError(f"{type(network).__name__} has no blocks to compute anew; leave checkpointing out")
    network.gradient_checkpointing_enable({"use_reentrant": False})


def _check_adapter(network: Any, *, head: bool) -> None:
    """Refuse an adapter where losses read a layer's weight and do not call it."""
    last = network.get_output_embeddings()
    if head and any(layer is last for layer in adapter_layers(network).values()):
        raise ModelError(
            "lora.targets name the last layer, and with head: true losses read its weight without the "
            "adapter; leave it out of the targets, or leave head out"
        )
