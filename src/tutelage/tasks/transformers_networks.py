"""Networks of the Transformers library, from a configuration or from weights; no pickle, no foreign code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from tutelage.errors import CheckpointError, ModelError, UnknownName
from tutelage.tasks.transformers_library import place_of, read

__all__ = [
    "check_length",
    "check_plain",
    "check_size",
    "from_config",
    "from_path",
    "read_config",
    "set_attention",
]

_KINDS = {
    "CausalLM": "a causal language model",
    "MaskedLM": "a masked language model",
    "Model": "an encoder",
    "Seq2SeqLM": "an encoder and decoder of texts",
    "SequenceClassification": "a classifier of texts",
    "TokenClassification": "a classifier of words",
}
"""What the library makes of a configuration, by the ends of its classes' names; a model has no head."""

_MAPPINGS = {
    "CausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING",
    "MaskedLM": "MODEL_FOR_MASKED_LM_MAPPING",
    "Model": "MODEL_MAPPING",
    "Seq2SeqLM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
    "SequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
    "TokenClassification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING",
}


def read_config(
    library: Any, config: Mapping[str, Any], *, vocabulary: int | None = None, length: int | None = None
) -> Any:
    """The configuration that a recipe writes: a model type and settings of its own.

    Args:
        library: Transformers.
        config: `model_type` and settings.
        vocabulary: how many tokens there are, where `config` has no `vocab_size`.
        length: how many positions there must be, where `config` does not say.

    Raises:
        ModelError: no model type, or settings that the library refuses.
        UnknownName: a model type or a setting that it does not have.
    """
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
        return library.AutoConfig.for_model(model_type, **settings)
    except Exception as error:  # its checks raise classes of their own
        raise _refused(str(model_type), error) from error


def from_config(library: Any, config: Any, kind: str, *, advice: str) -> Any:
    """A network with random weights.

    Args:
        library: Transformers.
        config: of `read_config`.
        kind: the end of the class's name: `CausalLM`, `SequenceClassification` …, or `Model` without a head.
        advice: what to do where the library has no such network, for the message.

    Raises:
        ModelError: it has none, or refuses the configuration.
    """
    if type(config) not in getattr(library, _MAPPINGS[kind]):
        wanted = _KINDS[kind].partition(" ")[2]
        raise ModelError(f"Transformers has no {wanted} of the type {config.model_type!r}; {advice}")
    try:
        return _auto(library, kind).from_config(config, trust_remote_code=False)
    except Exception as error:
        raise _refused(config.model_type, error) from error


def from_path(
    library: Any,
    path: str,
    kind: str,
    *,
    dtype: torch.dtype = torch.float32,
    gguf_file: str | None = None,
    new_head: bool = False,
    **keywords: Any,
) -> Any:
    """A network with the weights of a folder, a GGUF file or the hub.

    Args:
        library: Transformers.
        path, gguf_file: see `place_of`.
        kind: see `from_config`.
        dtype: of the weights.
        new_head: whether what stands on the encoder may start at random.
        keywords: further ones of `from_pretrained`.

    Raises:
        CheckpointError: weights that are missing, truncated, incomplete or pickled.
    """
    where, packed = place_of(path, gguf_file)
    how: dict[str, Any] = {**packed} if packed else {"use_safetensors": True}
    if not packed:
        check_plain(Path(where))
    load = _auto(library, kind).from_pretrained
    with _quiet(library):
        network, info = read(
            _KINDS[kind], where, load, dtype=dtype, output_loading_info=True, **how, **keywords
        )
    missing = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if new_head:
        missing = [key for key in missing if key.startswith(f"{network.base_model_prefix}.")]
        missing = [key for key in missing if ".pooler." not in key]
    if kind == "Model":
        missing = [key for key in missing if not key.startswith("pooler.")]
    if missing:
        raise CheckpointError(
            f"the weights of {path!r} lack {missing[0]!r} ({len(missing)} in all) or have it in another "
            f"shape; take a whole checkpoint of {_KINDS[kind]}"
            + ("" if new_head or kind in ("CausalLM", "Model") else ", or set new_head: true and train it")
        )
    return network


def set_attention(network: Any, attention: str | None) -> None:
    """Choose how attention is computed; None for the fused kernel where the network can."""
    kind = type(network).__name__
    try:
        network.set_attn_implementation(attention or ("sdpa" if network._supports_sdpa else "eager"))
    except (ImportError, ValueError) as error:
        raise ModelError(f"{kind} cannot compute attention as {attention!r}: {error}") from error


def check_size(network: Any, vocabulary: int) -> None:
    """Refuse a network that has fewer tokens than will be asked of it."""
    rows = int(network.get_input_embeddings().weight.shape[0])
    if rows < vocabulary:
        raise ModelError(
            f"{type(network).__name__} has embeddings for {rows} tokens, and the tokenizer of the task has "
            f"{vocabulary}; take the tokenizer that it was trained with (task.tokenizer), or a config "
            "without vocab_size"
        )


def check_length(network: Any, length: int | None) -> None:
    """Refuse rows longer than what a network has positions for."""
    limit = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    if length is not None and isinstance(limit, int) and length > limit:
        raise ModelError(
            f"rows of {length} tokens came, and {type(network).__name__} has max_position_embeddings {limit}"
            f"; set task.length to at most {limit}"
        )


def _auto(library: Any, kind: str) -> Any:
    return library.AutoModel if kind == "Model" else getattr(library, f"AutoModelFor{kind}")


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """No bars and no list of what is missing: a head may start at random, and all else is an error."""
    said = library.utils.logging
    before, bars = said.get_verbosity(), said.is_progress_bar_enabled()
    said.set_verbosity_error()
    said.disable_progress_bar()
    try:
        yield
    finally:
        said.set_verbosity(before)
        if bars:
            said.enable_progress_bar()


def _refused(model_type: str, error: Exception) -> ModelError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    return ModelError(f"Transformers refuses the config of {model_type}: {said[-1].strip()}")


def check_plain(folder: Path) -> None:
    """Refuse a folder whose weights are a pickle, or those of an adapter alone.

    An adapter's file names the network that it belongs to, which would be fetched from there.

    Raises:
        CheckpointError: it is one of these; what to do is said.
    """
    pickles = sorted(folder.glob("pytorch_model*.bin"))
    if pickles and not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{str(folder)!r} holds only {pickles[0].name}, a pickle, which can run code when it is read. "
            "Load it once where you trust it, call save_pretrained(folder) on the network, which writes "
            "model.safetensors, and use that folder."
        )
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{str(folder)!r} holds an adapter and no network of its own; merge it where you trust it "
            "(PEFT's merge_and_unload, or the stage merge_adapter), and use the folder that save_pretrained "
            "writes"
        )
