"""Weights, settings and tokenizer of a language model in one file, for llama.cpp and what is built on it."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.capture import call
from tutelage.errors import MissingExtra, ModelError, UnknownName
from tutelage.export.checking import Record, compare_answers, new_file, record
from tutelage.export.gguf_tokenizer import add_tokenizer
from tutelage.traced import Logits, first_line, ready

__all__ = ["gguf"]

_TOLERANCES = {"f16": 1e-2, "q8_0": 1e-1}
_NAMES = {
    "hidden_size": "add_embedding_length",
    "intermediate_size": "add_feed_forward_length",
    "num_hidden_layers": "add_block_count",
    "num_attention_heads": "add_head_count",
    "num_key_value_heads": "add_head_count_kv",
    "rms_norm_eps": "add_layer_norm_rms_eps",
    "max_position_embeddings": "add_context_length",
    "vocab_size": "add_vocab_size",
}
"""Setting of a Llama -> what writes it."""


def gguf(
    network: nn.Module,
    example: Any,
    path: Path | str,
    *,
    tolerance: float | None = None,
    overwrite: bool = False,
    weights: Literal["f16", "q8_0"] = "f16",
    tokenizer: Path | str | None = None,
) -> Record:
    """Write a causal language model of the Llama family as GGUF.

    Tensors have llama.cpp's names, and queries and keys its order of rotary pairs. Norms stay in float32; at
    8 bits a matrix whose rows are no multiple of 32 stays in 16.

    Args:
        network: a `LlamaForCausalLM` of Transformers, on rotary positions that are plain or linearly scaled.
        example: what it is called with: token ids, or a mapping with them.
        path: the file to write, usually `.gguf`.
        tolerance: the largest difference of a logit that the check allows, as a share of the largest logit;
            by default 0.01 for 16 bits and 0.1 for 8.
        overwrite: replace a file that is there.
        weights: "f16", or "q8_0": blocks of 32 numbers of 8 bits with one scale each.
        tokenizer: a folder with `tokenizer.json`; what llama.cpp has no word for is left out with a warning.

    Returns:
        `format`, `path`, `bytes`, `weights`, whether a `tokenizer` is in it, and how far the logits are of
        what Transformers reads from the file: see `tutelage.export.checking.Agreement`.

    Raises:
        MissingExtra: the package gguf, or Transformers, is not installed.
        UnknownName: other `weights`.
        ModelError: another kind of network, or what was read back differs.
        OutputError: the file is there already, or cannot be written.
    """
    path = Path(path)
    package = _package("gguf")
    if weights not in _TOLERANCES:
        raise UnknownName("kind of GGUF weights", weights, _TOLERANCES)
    allowed = _TOLERANCES[weights] if tolerance is None else tolerance
    config = _config(network)
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        writer = package.GGUFWriter(file, "llama")
        _describe(writer, package, config, weights)
        told = tokenizer is not None and add_tokenizer(writer, Path(tokenizer), config.vocab_size)
        written = {
            name: _packed(package, values, weights) for name, values in _tensors(package, logits.network)
        }
        for name, (packed, kind) in written.items():
            writer.add_tensor(name, packed, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        _check_tensors(package, file, written)
        twin = _read_back(file, config, logits.network)

        def read_back(inputs: Any) -> Tensor:
            answer: Tensor = call(Logits(twin).eval(), inputs)
            return answer

        agreement = compare_answers(
            logits, example, read_back, tolerance=allowed, what="the GGUF file", at_once=4
        )
    return record("gguf", path, agreement) | {"weights": weights, "tokenizer": told}


def _config(network: nn.Module) -> Any:
    """The settings of a Llama that llama.cpp computes alike."""
    config: Any = getattr(network, "config", None)
    kind = getattr(config, "model_type", None)
    if kind != "llama" or not any(held.__name__ == "LlamaForCausalLM" for held in type(network).__mro__):
        raise ModelError(
            f"{type(network).__name__} is no LlamaForCausalLM, and GGUF is written for that family alone; "
            "export to safetensors or ONNX, or convert its folder with llama.cpp's own program"
        )
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") not in ("default", "linear"):
        raise ModelError(
            f"the network scales its rotary positions by {rope['rope_type']!r}, which is not written to "
            "GGUF; train it with the default, or convert its folder with llama.cpp's own program"
        )
    return config


def _describe(writer: Any, package: Any, config: Any, weights: str) -> None:
    for name, write in _NAMES.items():
        getattr(writer, write)(getattr(config, name))
    rope = getattr(config, "rope_parameters", None) or {}
    width = _head_width(config)
    writer.add_rope_dimension_count(width)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(package.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    kinds = package.LlamaFileType
    writer.add_file_type(kinds.MOSTLY_F16 if weights == "f16" else kinds.MOSTLY_Q8_0)
    writer.add_quantization_version(package.GGML_QUANT_VERSION)


def _tensors(package: Any, network: nn.Module) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Names and values as llama.cpp has them; a tied head is left out."""
    config: Any = network.config
    names = package.get_tensor_name_map(package.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, value in network.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ModelError(f"llama.cpp has no name for the tensor {key!r}; export to safetensors instead")
        values = value.detach().float().cpu().numpy()
        if ".q_proj." in key:
            values = _paired(values, config.num_attention_heads)
        elif ".k_proj." in key:
            values = _paired(values, config.num_key_value_heads)
        yield name, values


def _paired(values: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of a head in pairs that are rotated together, next to each other: here they lie half a head apart.

    Example:
        >>> _paired(np.arange(4.0)[:, None], 1)[:, 0].tolist()
        [0.0, 2.0, 1.0, 3.0]
    """
    split = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(values.shape))


def _packed(package: Any, values: np.ndarray[Any, Any], weights: str) -> tuple[np.ndarray[Any, Any], Any]:
    kinds = package.GGMLQuantizationType
    if values.ndim == 1:
        return values, kinds.F32
    kind = kinds.Q8_0 if weights == "q8_0" and values.shape[-1] % 32 == 0 else kinds.F16
    return package.quants.quantize(values, kind), kind


def _check_tensors(package: Any, file: Path, written: dict[str, tuple[np.ndarray[Any, Any], Any]]) -> None:
    """Each tensor that is read back is, number by number, what was to be written."""
    unpack = package.quants.dequantize
    read = {held.name: held for held in package.GGUFReader(file).tensors}
    for name, (packed, kind) in written.items():
        held = read.get(name)
        if held is None or not np.array_equal(unpack(held.data, held.tensor_type), unpack(packed, kind)):
            raise ModelError(f"the GGUF file does not hold {name!r} as it was written; nothing was kept")


def _read_back(file: Path, config: Any, network: nn.Module) -> nn.Module:
    """The network with the weights that Transformers reads from the file, if its settings are alike."""
    library = _package("transformers")
    try:
        read = library.AutoModelForCausalLM.from_pretrained(
            str(file.parent), gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
        )
    except Exception as error:
        raise ModelError(f"Transformers cannot read the GGUF file: {first_line(error)}") from error
    for name in _NAMES:
        came, wanted = getattr(read.config, name), getattr(config, name)
        if not math.isclose(came, wanted, rel_tol=1e-6):
            raise ModelError(f"the GGUF file says {name} {came}, and the network's is {wanted}")
    if _head_width(read.config) != _head_width(config) or _theta(read.config) != _theta(config):
        raise ModelError("the GGUF file says other rotary positions than the network's; nothing was kept")
    twin = copy.deepcopy(network).float()
    twin.load_state_dict(read.state_dict())
    return twin


def _theta(config: Any) -> float:
    return float((getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10000.0))


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(name, extra="language", purpose="export to GGUF") from error
