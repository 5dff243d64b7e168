"""Fewer layers: some blocks of a network are kept, the others dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from tutelage.errors import ModelError

__all__ = ["blocks_of", "keep_blocks"]


def keep_blocks(network: Any, layers: Sequence[int]) -> None:
    """Keep these blocks of a Transformers network, in place, and number them anew.

    Args:
        network: whose configuration says `num_hidden_layers`.
        layers: numbers of blocks from 0, rising.

    Raises:
        ModelError: a block that is not there, blocks out of order, or a network without a list of blocks.

    Source: Sanh et al., DistilBERT, 2019, section 3: a student made of every other layer of its teacher.
    """
    config = network.config.get_text_config()
    count = config.num_hidden_layers
    kept = list(layers)
    if not kept or kept != sorted(set(kept)) or not 0 <= kept[0] <= kept[-1] < count:
        raise ModelError(
            f"layers: {kept}; expected rising numbers of blocks from 0 to {count - 1}, each at most once"
        )
    parent, name, blocks = blocks_of(network, count)
    for number, block in enumerate(blocks[old] for old in kept):
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number  # type: ignore[assignment]
    setattr(parent, name, nn.ModuleList(blocks[old] for old in kept))
    for key, value in list(vars(config).items()):
        if key.endswith("layer_types") and isinstance(value, list) and len(value) == count:
            setattr(config, key, [value[old] for old in kept])
    config.num_hidden_layers = len(kept)


def blocks_of(network: nn.Module, count: int) -> tuple[nn.Module, str, nn.ModuleList]:
    """The list of all blocks: the module that it hangs at, by which name, and itself.

    Raises:
        ModelError: there is none of that length.
    """
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return parent, name, child
    raise ModelError(
        f"{type(network).__name__} has no list of its {count} blocks; leave layers out, or build it with "
        "fewer by its configuration"
    )
