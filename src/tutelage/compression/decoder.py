"""Where the sizes of a decoder of Transformers stand: hidden channels, heads, units of its MLPs, blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from torch import Tensor, nn

from tutelage.compression.blocks import blocks_of, keep_blocks
from tutelage.compression.cutting import cut_
from tutelage.errors import ModelError

__all__ = ["AXES", "Decoder", "Sizes"]

AXES = ("layers", "hidden", "heads", "mlp")

_Tags = Mapping[str, Mapping[str, Sequence[str]]]

_LLAMA: _Tags = {
    "self_attn.q_proj": {"weight": ("heads", "hidden"), "bias": ("heads",)},
    "self_attn.k_proj": {"weight": ("groups", "hidden"), "bias": ("groups",)},
    "self_attn.v_proj": {"weight": ("groups", "hidden"), "bias": ("groups",)},
    "self_attn.o_proj": {"weight": ("hidden", "heads"), "bias": ("hidden",)},
    "mlp.gate_proj": {"weight": ("mlp", "hidden"), "bias": ("mlp",)},
    "mlp.up_proj": {"weight": ("mlp", "hidden"), "bias": ("mlp",)},
    "mlp.down_proj": {"weight": ("hidden", "mlp"), "bias": ("hidden",)},
    "input_layernorm": {"weight": ("hidden",)},
    "post_attention_layernorm": {"weight": ("hidden",)},
}
_LLAMA_AROUND: _Tags = {
    "model.embed_tokens": {"weight": ("", "hidden")},
    "model.norm": {"weight": ("hidden",)},
    "lm_head": {"weight": ("", "hidden")},
}
_GPT2: _Tags = {
    "mlp.c_fc": {"weight": ("", "mlp"), "bias": ("mlp",)},
    "mlp.c_proj": {"weight": ("mlp", "")},
}
_LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3")
_KNOWN = (*_LLAMA_LIKE, "gpt2")


@dataclass(frozen=True)
class Sizes:
    """How large a decoder is.

    Args:
        layers: blocks.
        hidden: channels between them.
        heads: of attention, those that ask.
        mlp: units of each block's MLP.
    """

    layers: int
    hidden: int
    heads: int
    mlp: int

    def as_dict(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)


class Decoder:
    """A decoder of Transformers, with the places of its sizes.

    Args:
        network: a causal language model of the Llama family, or GPT-2, of which the blocks and the units of
            the MLPs alone can be cut.

    Raises:
        ModelError: another kind of network, or one with an adapter.
    """

    def __init__(self, network: nn.Module) -> None:
        config: Any = getattr(network, "config", None)
        kind = getattr(config, "model_type", None)
        if kind not in _KNOWN:
            raise ModelError(
                f"prune_transformer knows networks of Transformers of the types {', '.join(_KNOWN)}, and "
                f"{type(network).__name__} is {'none' if kind is None else f'of the type {kind!r}'}; for "
                "others take prune with `structure: channels`, or layers of transformers_causal"
            )
        if any(".base_layer." in name for name, _ in network.named_parameters()):
            raise ModelError(
                "prune_transformer came to a network with an adapter (lora), whose parts would no longer "
                "fit; prune a network without one, and give the adapter to what is left"
            )
        self.network, self.config, self.kind = network, config, str(kind)
        self.path = "model.layers" if kind in _LLAMA_LIKE else "transformer.h"
        self.fits = AXES if kind in _LLAMA_LIKE else ("layers", "mlp")

    @property
    def sizes(self) -> Sizes:
        """As they are now."""
        config, down = self.config, self.reader(0, "mlp")
        units = down.weight.shape[1 if isinstance(down, nn.Linear) else 0]
        return Sizes(config.num_hidden_layers, config.hidden_size, config.num_attention_heads, int(units))

    @property
    def groups(self) -> int:
        """How many groups the heads are in, each with keys and values of its own."""
        return int(getattr(self.config, "num_key_value_heads", None) or self.config.num_attention_heads)

    @property
    def per_group(self) -> int:
        """Heads that share keys and values."""
        return int(self.config.num_attention_heads) // self.groups

    @property
    def head_width(self) -> int:
        """Channels of a head."""
        config = self.config
        return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """One after the other."""
        return list(blocks_of(self.network, self.config.num_hidden_layers)[2])

    def is_built(self, sizes: Sizes) -> bool:
        """Whether Transformers builds such a network: of Llama the heads have to divide the channels."""
        return self.kind != "llama" or sizes.hidden % sizes.heads == 0

    @property
    def norms(self) -> list[nn.Module]:
        """Those whose answers are the hidden channels."""
        if "hidden" not in self.fits:
            return []
        inner = [
            block.get_submodule(name)
            for block in self.blocks
            for name in ("input_layernorm", "post_attention_layernorm")
        ]
        return [*inner, self.network.get_submodule("model.norm")]

    def reader(self, block: int, what: str) -> Any:
        """The layer of a block that reads its `heads`, or the units of its `mlp`."""
        names = ("self_attn.o_proj", "mlp.down_proj")
        if self.kind not in _LLAMA_LIKE:
            names = ("attn.c_proj", "mlp.c_proj")
        return self.blocks[block].get_submodule(names[what == "mlp"])

    def counter(self) -> Callable[[Sizes], int]:
        """A function from sizes to how many parameters there would be, shared ones once."""
        now, held = self.sizes, self._counts()

        def count(sizes: Sizes) -> int:
            total = 0.0
            for (within, tags), rest in held.items():
                whole = rest * prod(self._length(tag, sizes) for tag in tags)
                total += whole * sizes.layers / now.layers if within else whole
            return round(total)

        return count

    def _counts(self) -> Counter[tuple[bool, tuple[str, ...]]]:
        """Parameters by whether they are in a block and by their sizes; the product of their other axes."""
        tagged = {(path, name): tags for path, name, tags, _ in self._tensors()}
        found: Counter[tuple[bool, tuple[str, ...]]] = Counter()
        seen: set[int] = set()
        for path, module in self.network.named_modules():
            for name, value in module.named_parameters(recurse=False):
                if id(value) not in seen:
                    seen.add(id(value))
                    tags = tagged.get((path, name), ("",) * value.ndim)
                    key = path.startswith(f"{self.path}."), tuple(sorted(filter(None, tags)))
                    found[key] += prod(size for tag, size in zip(tags, value.shape, strict=True) if not tag)
        return found

    def cut(self, kept: Mapping[str, Any]) -> None:
        """Cut in place to the parts that are kept, and say so in its configuration.

        Args:
            kept: `layers`, numbers of blocks; `hidden`, of channels, or None for all; `groups` and `mlp`, of
                each block that is kept those of its own, or None.
        """
        keep_blocks(self.network, kept["layers"])
        width = self.head_width
        cuts: dict[str, dict[str, Any]] = {}
        for path, name, tags, number in self._tensors():
            axes = [self._indices(tag, kept, number, width) for tag in tags]
            if any(axis is not None for axis in axes):
                held = cuts.setdefault(path, {"tensors": {}, "numbers": {}})
                held["tensors"][name] = axes
                if name == "weight":
                    held["numbers"] |= _numbers(self.network.get_submodule(path), axes)
        tied = self._is_tied()
        cut_(self.network, cuts)
        if tied:
            network: Any = self.network
            network.get_output_embeddings().weight = network.get_input_embeddings().weight
        self._say(kept, width)

    def _is_tied(self) -> bool:
        network: Any = self.network
        return network.get_output_embeddings().weight is network.get_input_embeddings().weight

    def _say(self, kept: Mapping[str, Any], width: int) -> None:
        """What the configuration says of its sizes."""
        config, per_group = self.config, self.per_group
        if kept["hidden"] is not None:
            config.hidden_size = len(kept["hidden"])
        if kept["groups"] is not None:
            config.num_key_value_heads = len(kept["groups"][0])
            config.num_attention_heads = per_group * config.num_key_value_heads
        if kept["hidden"] is not None or kept["groups"] is not None:
            config.head_dim = width
        if kept["mlp"] is not None:
            name = "intermediate_size" if self.kind in _LLAMA_LIKE else "n_inner"
            setattr(config, name, len(kept["mlp"][0]))

    def _tensors(self) -> Iterator[tuple[str, str, Sequence[str], int]]:
        """Tensors with a size in their shape: path, name, what each axis is of, the number of the block."""
        around, inside = (_LLAMA_AROUND, _LLAMA) if self.kind in _LLAMA_LIKE else ({}, _GPT2)
        places = [(path, tensors, -1) for path, tensors in around.items()]
        for number in range(self.config.num_hidden_layers):
            places += [(f"{self.path}.{number}.{path}", held, number) for path, held in inside.items()]
        for path, tensors, number in places:
            module = self.network.get_submodule(path)
            for name, tags in tensors.items():
                if isinstance(getattr(module, name, None), Tensor):
                    yield path, name, tags, number

    def _length(self, tag: str, sizes: Sizes) -> int:
        """How long an axis would be."""
        if tag == "heads":
            return sizes.heads * self.head_width
        if tag == "groups":
            return sizes.heads // self.per_group * self.head_width
        return sizes.hidden if tag == "hidden" else sizes.mlp

    def _indices(self, tag: str, kept: Mapping[str, Any], block: int, width: int) -> list[int] | None:
        """What stays of an axis; None for all of it."""
        if tag in ("heads", "groups"):
            if kept["groups"] is None:
                return None
            wide = width * (self.per_group if tag == "heads" else 1)
            return [wide * group + place for group in kept["groups"][block] for place in range(wide)]
        held = kept.get(tag) if tag else None
        return held if held is None or tag == "hidden" else held[block]


def _numbers(module: nn.Module, axes: Sequence[Sequence[int] | None]) -> dict[str, int]:
    """What a layer says of the shape of its weight."""
    names = ("num_embeddings", "embedding_dim")
    if isinstance(module, nn.Linear):
        names = ("out_features", "in_features")
    elif type(module).__name__ == "Conv1D":
        names = ("nx", "nf")
    told = {name: len(axis) for name, axis in zip(names, axes, strict=False) if axis is not None}
    return {name: size for name, size in told.items() if hasattr(module, name)}
