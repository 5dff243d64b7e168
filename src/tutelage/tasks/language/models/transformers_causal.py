"""Causal language models of the Transformers library: from a folder, the hub, or a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tutelage.adapters import Lora, adapter_layers, add_adapter
from tutelage.compression.blocks import keep_blocks
from tutelage.errors import CheckpointError, ModelError, UnknownName
from tutelage.tasks.language.library import optional, place_of, read
from tutelage.tasks.language.models.packed import pack
from tutelage.tasks.language.tokenizers import check_words
from tutelage.tasks.language.vocabulary import Vocabulary

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
        network = _trained(library, path, gguf_file, _KINDS[dtype])
        if words is not None:
            _end_at(network, words.end)
    if vocabulary is not None:
        _check_size(network, vocabulary)
        network.known_classes = vocabulary
    _set_attention(network, attention)
    _check_length(network, length)
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
    settings = dict(config)
    model_type = settings.pop("model_type", None)
    if model_type is None:
        raise ModelError(
            'config has no model_type; name one, e.g. {"model_type": "llama", "hidden_size": 64}'
        )
    if model_type not in library.CONFIG_MAPPING:
        raise UnknownName("model type", str(model_type), library.CONFIG_MAPPING.keys())
    usual = library.AutoConfig.for_model(model_type)
    for key in settings:
        if not hasattr(usual, key):
            raise UnknownName(f"setting of {model_type}", key, usual.to_dict())
    if vocabulary is not None:
        settings.setdefault("vocab_size", vocabulary)
    if length is not None and hasattr(usual, "max_position_embeddings"):
        settings.setdefault("max_position_embeddings", max(length, usual.max_position_embeddings))
    try:
        built = library.AutoConfig.for_model(model_type, **settings)
        if type(built) in library.MODEL_FOR_CAUSAL_LM_MAPPING:
            return library.AutoModelForCausalLM.from_config(built, trust_remote_code=False)
    except Exception as error:  # its checks raise classes of their own
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"Transformers refuses the config of {model_type}: {said[-1].strip()}") from error
    raise ModelError(f"Transformers has no causal model of the type {model_type!r}; take llama or qwen2")


def _trained(library: Any, path: str, gguf_file: str | None, kind: torch.dtype) -> Any:
    where, packed = place_of(path, gguf_file)
    how: dict[str, Any] = {**packed} if packed else {"use_safetensors": True}
    if not packed:
        _refuse_pickle(Path(where))
    network, info = read(
        "a causal language model",
        where,
        library.AutoModelForCausalLM.from_pretrained,
        dtype=kind,
        output_loading_info=True,
        **how,
    )
    missing = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if missing:
        raise CheckpointError(
            f"the weights of {path!r} lack {missing[0]!r} ({len(missing)} in all) or have it in another "
            "shape; take a whole checkpoint of a causal language model"
        )
    return network


def _refuse_pickle(folder: Path) -> None:
    pickles = sorted(folder.glob("pytorch_model*.bin"))
    if pickles and not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{str(folder)!r} holds only {pickles[0].name}, a pickle, which can run code when it is read. "
            "Load it once where you trust it, call save_pretrained(folder) on the network, which writes "
            "model.safetensors, and use that folder."
        )


def _set_attention(network: Any, attention: str | None) -> None:
    """Choose how attention is computed."""
    kind = type(network).__name__
    try:
        network.set_attn_implementation(attention or ("sdpa" if network._supports_sdpa else "eager"))
    except (ImportError, ValueError) as error:
        raise ModelError(f"{kind} cannot compute attention as {attention!r}: {error}") from error


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


def _check_size(network: Any, vocabulary: int) -> None:
    """Refuse a network that has fewer tokens than will be asked of it."""
    rows = int(network.get_input_embeddings().weight.shape[0])
    if rows < vocabulary:
        raise ModelError(
            f"{type(network).__name__} has embeddings for {rows} tokens, and the tokenizer of the task has "
            f"{vocabulary}; take the tokenizer that it was trained with (task.tokenizer), or a config "
            "without vocab_size"
        )


def _check_length(network: Any, length: int | None) -> None:
    """Refuse rows longer than what a network has positions for."""
    limit = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    if length is not None and isinstance(limit, int) and length > limit:
        raise ModelError(
            f"rows of {length} tokens came, and {type(network).__name__} has max_position_embeddings {limit}"
            f"; set task.length to at most {limit}"
        )
