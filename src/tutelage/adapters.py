"""Adapters of low rank (LoRA) on a network of Transformers, by the PEFT library."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from tutelage.errors import MissingExtra, ModelError, UnknownName, first_line

__all__ = ["Lora", "adapter_layers", "add_adapter", "has_adapter", "merge_adapter_", "without_adapter"]


@dataclass(frozen=True)
class Lora:
    """What an adapter is like.

    Args:
        r: the rank of what is added to a weight.
        alpha: what is added is multiplied by alpha / r; twice the rank by default, so by 2.
        targets: the names of the layers that get one (`q_proj`), `all-linear` for all but the last; None for
            those that PEFT takes for this type of network.
        dropout: of what goes into the adapter, in training.

    Raises:
        ModelError: numbers that mean nothing.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1.
    """

    r: int
    alpha: float | None = None
    targets: Sequence[str] | str | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.r, bool) or not isinstance(self.r, int) or self.r < 1:
            raise ModelError(f"lora.r came as {self.r!r}; a whole number of 1 or more is expected")
        if self.alpha is not None and not self.alpha > 0:
            raise ModelError(f"lora.alpha came as {self.alpha!r}; a number above 0 is expected")
        if not 0 <= self.dropout < 1:
            raise ModelError(f"lora.dropout came as {self.dropout!r}; at least 0 and below 1 is expected")

    @classmethod
    def read(cls, came: Mapping[str, Any]) -> Lora:
        """From the settings of a recipe.

        Raises:
            UnknownName: a setting that there is not.
            ModelError: no rank, or numbers that mean nothing.
        """
        wrong = next((key for key in came if key not in cls.__dataclass_fields__), None)
        if wrong is not None:
            raise UnknownName("setting of lora", str(wrong), cls.__dataclass_fields__)
        if "r" not in came:
            raise ModelError(f"lora came as {dict(came)}, without a rank; write lora: {{r: 16}}")
        return cls(**came)


def add_adapter(network: Any, lora: Lora, *, base: str | None = None) -> None:
    """Freeze a network, and give layers of it an adapter that learns, in place.

    What is added begins at 0, so that the network answers as before.

    Args:
        network: a network of Transformers.
        lora: what the adapter is like.
        base: where the network's own weights can be read again, for the adapter's files to say; None where
            that is nowhere.

    Raises:
        MissingExtra: PEFT is not installed.
        ModelError: there are no such layers.
    """
    try:
        library: Any = importlib.import_module("peft")
    except ImportError as error:
        raise MissingExtra("peft", extra="peft", purpose="an adapter (lora)") from error
    targets = lora.targets if lora.targets is None or isinstance(lora.targets, str) else list(lora.targets)
    try:
        config = library.LoraConfig(
            r=lora.r,
            lora_alpha=2 * lora.r if lora.alpha is None else lora.alpha,
            target_modules=targets,
            lora_dropout=lora.dropout,
            task_type="CAUSAL_LM",
        )
        network.add_adapter(config)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"PEFT refuses the adapter {lora}: {first_line(error)}. Name layers of {type(network).__name__} "
            "in lora.targets, such as [q_proj, v_proj], or all-linear"
        ) from error
    config.base_model_name_or_path = base


def has_adapter(network: nn.Module) -> bool:
    """Whether some layer of a network has one."""
    return bool(adapter_layers(network))


def adapter_layers(network: nn.Module) -> dict[str, Any]:
    """The layers with an adapter, by path; told by their class, so that PEFT need not be there."""
    return {
        path: layer
        for path, layer in network.named_modules()
        if any(
            kind.__name__ == "BaseTunerLayer" and kind.__module__.startswith("peft.")
            for kind in type(layer).__mro__
        )
    }


@contextmanager
def without_adapter(network: nn.Module) -> Iterator[None]:
    """Inside the block a network answers by its own weights alone.

    Raises:
        ModelError: it has no adapter.
    """
    layers = list(_layers(network).values())
    held = [(parameter, parameter.requires_grad) for layer in layers for parameter in layer.parameters()]
    for layer in layers:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)
        for parameter, learns in held:
            parameter.requires_grad_(learns)


def merge_adapter_(network: Any) -> None:
    """Add the adapter to the weights of its layers, in place; afterwards they are plain, and learn again.

    Raises:
        ModelError: there is none, or what it adds is not finite.
    """
    layers = _layers(network)
    for path, layer in layers.items():
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise ModelError(f"the adapter of {path} cannot be merged: {first_line(error)}") from error
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, layer.get_base_layer())
    network._hf_peft_config_loaded = False  # else Transformers writes an adapter that is no longer there
    del network.peft_config
    network.requires_grad_(True)


def _layers(network: nn.Module) -> dict[str, Any]:
    found = adapter_layers(network)
    if not found:
        raise ModelError(
            f"{type(network).__name__} has no adapter; give the student's transformers_causal lora: {{r: 16}}"
        )
    return found
