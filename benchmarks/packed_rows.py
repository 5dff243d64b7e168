"""Every causal model type of the installed Transformers, tiny, and how it reads rows of several documents.

It writes a page of the guide: `python benchmarks/packed_rows.py docs/guide/packed-rows.md [TYPE …]`.
"""

from __future__ import annotations

import contextlib
import copy
import io
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tutelage.errors import TutelageError
from tutelage.tasks.language.models.transformers_causal import transformers_causal
from tutelage.tasks.transformers_library import optional

_SMALL: Mapping[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "n_embd": 32,
    "d_model": 32,
    "dim": 32,
    "emb_dim": 32,
    "embedding_size": 32,
    "num_hidden_layers": 2,
    "n_layer": 2,
    "n_layers": 2,
    "num_layers": 2,
    "decoder_layers": 2,
    "encoder_layers": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "ffn_dim": 64,
    "n_inner": 64,
    "d_ff": 64,
    "decoder_ffn_dim": 64,
    "encoder_ffn_dim": 64,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "sliding_window": 8,
    "state_size": 8,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "mamba_num_heads": 4,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_head_dim": 8,
    "mamba_d_state": 8,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""What makes a configuration small, wherever it has a setting of that name."""

_OWN: Mapping[str, Mapping[str, Any]] = {
    "bamba": {"attn_layer_indices": [1], "num_attention_heads": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "minimax": {"layer_types": ["linear_attention", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "mamba_dt_rank": 4},
    "zamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "qwen3_next": {"layer_types": ["linear_attention", "full_attention"]},
    "qwen3_5_text": {"layer_types": ["linear_attention", "full_attention"]},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"], "lru_width": 32},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"], "mamba_n_heads": 8},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1},
    "gptj": {"rotary_dim": 4},
    "codegen": {"rotary_dim": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2, "window_size": 8},
}
"""What a type needs besides, so that both kinds of its layers are there."""

_MOST = 5_000_000  # weights of a small network


@dataclass(frozen=True, slots=True)
class Surveyed:
    """How a model type reads packed rows.

    Args:
        kind: the model type.
        way: "mask", "positions" or "apart"; None where it is refused or cannot be built.
        why: of a refusal.
        moved: how far the answers to a document move, as probabilities, with the one before it.
    """

    kind: str
    way: str | None
    why: str = ""
    moved: float = 0.0


def tiny(kind: str) -> dict[str, Any]:
    """Settings of a small network of a model type."""
    library = optional("transformers", "model types")
    usual = library.AutoConfig.for_model(kind)
    small = {name: value for name, value in _SMALL.items() if _may_set(usual, name, value)}
    if "kv_lora_rank" in small:  # latent attention: as many keys as queries, of widths of their own
        small["num_key_value_heads"] = small["num_attention_heads"]
        small.pop("head_dim", None)
    kinds = list(dict.fromkeys(getattr(usual, "layer_types", None) or ()))
    if getattr(usual, "is_decoder", None) is False:
        small["is_decoder"] = True
    if len(kinds) > 1 and _may_set(usual, "layer_types", kinds):
        small["layer_types"] = kinds[:2]
    return {"model_type": kind} | small | dict(_OWN.get(kind, {}))


def _may_set(usual: Any, name: str, value: Any) -> bool:
    """Whether a configuration has a setting; one that is switched off stays off."""
    held = getattr(usual, name, None)
    if held is None or type(held) is not type(value):
        return name.endswith("_token_id") and hasattr(usual, name)
    try:
        setattr(copy.deepcopy(usual), name, value)
    except Exception:  # a property
        return False
    return True


def survey(kinds: list[str] | None = None) -> Iterator[Surveyed]:
    """Build each type small, and look whether a document's answers depend on the one before it."""
    library = optional("transformers", "model types")
    names = kinds or sorted({each.model_type for each in library.MODEL_FOR_CAUSAL_LM_MAPPING})
    for kind in names:
        torch.manual_seed(0)
        try:
            count = _size(library, tiny(kind))
            if count > _MOST:
                yield Surveyed(kind, None, f"not built: {count / 1e6:.0f}M weights with these settings")
                continue
            with contextlib.redirect_stderr(io.StringIO()):
                network = transformers_causal(config=tiny(kind), length=16).eval()
                yield Surveyed(kind, str(network.way), moved=_moved(network))
        except TutelageError as error:
            said = str(error).partition(" (")[2] if "cannot read rows" in str(error) else str(error)
            yield Surveyed(kind, None, said)
        except Exception as error:  # whatever a type raises for settings that it does not share with others
            said = (str(error).strip().splitlines() or [""])[0]
            yield Surveyed(kind, None, f"not built: {type(error).__name__}: {said}")


def _size(library: Any, settings: Mapping[str, Any]) -> int:
    """How many weights a network would have."""
    own = {name: value for name, value in settings.items() if name != "model_type"}
    with torch.device("meta"), contextlib.redirect_stderr(io.StringIO()):
        config = library.AutoConfig.for_model(settings["model_type"], **own)
        network = library.AutoModelForCausalLM.from_config(config)
    return sum(weight.numel() for weight in network.parameters())


def _moved(network: Any) -> float:
    """The total variation of the second document's answers, when the first is another."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():  # answers that depend on what was read
            if weight.dim() > 1 and weight.is_floating_point():
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.3)
        second = torch.arange(20, 27)
        documents = torch.tensor([[0] * 5 + [1] * 7])
        positions = torch.cat([torch.arange(5), torch.arange(7)]).unsqueeze(0)
        found = []
        for first in ([3, 7, 9, 11, 5], [50, 51, 52, 53, 54]):
            row = torch.cat([torch.tensor(first), second]).unsqueeze(0)
            answer = network(input_ids=row, position_ids=positions, documents=documents).logits
            found.append(answer[0, 5:].float().softmax(-1))
    return float((found[0] - found[1]).abs().sum(-1).mean() / 2)


def page(found: list[Surveyed], version: str) -> str:
    """The table as a page in Markdown."""
    kept = [one for one in found if one.way is not None]
    rest = [one for one in found if one.way is None]
    unbuilt = [one for one in rest if one.why.startswith("not built: ")]
    away = [one for one in rest if one not in unbuilt]
    lines = [
        "# Packed rows, by model type",
        "",
        f"Every causal model type of Transformers {version} that a small configuration builds. Of each, "
        "whether the answers to the second document of a packed row depend on the first, and how documents "
        "are kept apart: `mask`, under a mask of ours; `positions`, under the mask that Transformers makes "
        "where positions begin anew, which knows windows; `apart`, each document by itself, for networks "
        "that mix neighbours by convolutions or carry a state. Networks are tried when they are built, on "
        "their own weights. Written by `benchmarks/packed_rows.py`.",
        "",
        f"{len(kept)} types are read, {len(away)} are refused, and {len(unbuilt)} have no small network by "
        "these settings: parts of larger models, or packages that are not installed.",
        "",
        "| type | documents kept apart by | answers move by |",
        "|---|---|---|",
        *[f"| `{one.kind}` | {one.way} | {one.moved:.0e} |" for one in kept],
        "",
        "| type | refused because |",
        "|---|---|",
        *[f"| `{one.kind}` | {_cell(one.why)} |" for one in away],
        "",
        "| type | not built small because |",
        "|---|---|",
        *[f"| `{one.kind}` | {_cell(one.why.removeprefix('not built: '))} |" for one in unbuilt],
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"Packed(\w+)", r"\1", text).replace("|", "\\|").replace("\n", " ").strip("() ")[:300]


if __name__ == "__main__":
    shown = []
    for each in survey(sys.argv[2:] or None):
        print(each, flush=True)
        shown.append(each)
    Path(sys.argv[1]).write_text(page(shown, optional("transformers", "").__version__), "utf-8")
