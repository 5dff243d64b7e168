"""An adapter becomes part of the weights that it was added to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from tutelage.adapters import merge_adapter_
from tutelage.compression.changer import Calibration, Changed, Changer

__all__ = ["MergeAdapter"]


class MergeAdapter(Changer):
    """Merge a network's adapter (LoRA) into its weights: the same answers, and a plain network.

    What is handed over is then a whole checkpoint in place of an adapter's files, that other changes and all
    formats of export take.

    Raises:
        ModelError: a network without an adapter, or one that is not finite, when it is merged.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1: no additional
        latency.

    Example:
        >>> MergeAdapter.settles
        False
    """

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:  # noqa: ARG002
        """Merge in place."""
        merge_adapter_(network)
        return Changed(network, {})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:  # noqa: ARG002
        """Make the layers of a network that was built anew plain ones; their weights are loaded then."""
        merge_adapter_(network)
        return network
