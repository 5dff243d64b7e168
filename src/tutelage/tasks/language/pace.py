"""How quickly causal language models of Transformers write, and what they keep in memory to do so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.modes import evaluating
from tutelage.tasks.language.models.packed import unpacked

__all__ = ["Pace"]

_ROUNDS = 5


@dataclass(frozen=True)
class Pace:
    """What networks need to go on from one prompt, token by token, timed in turns.

    Args:
        length: the most positions of a row; two thirds of it, at most 64, are the prompt.
        new: tokens to write after it, at most.
    """

    length: int
    new: int = 32

    def __call__(
        self, networks: Mapping[str, nn.Module], device: torch.device
    ) -> dict[str, dict[str, float]]:
        """The pace of each network that writes with a cache; others are left out.

        Args:
            networks: by name.
            device: where they are.

        Returns:
            by name, medians of five rounds at batch 1: `first_token_ms`, from the prompt to the first token,
            milliseconds; `tokens_per_second`, of the tokens after it; and `cache_bytes_per_token`, what
            keys and values of one token take.
        """
        prompt = max(1, min(64, 2 * self.length // 3))
        new = max(2, min(self.new, self.length - prompt))
        tokens = torch.arange(prompt, device=device).unsqueeze(0) % 2
        able = {name: network for name, network in networks.items() if _writes(network)}
        found = {name: _Found() for name in able}
        with ExitStack() as held, torch.inference_mode():
            for network in able.values():
                held.enter_context(evaluating(network))
                held.enter_context(unpacked(network))
            for number in range(_ROUNDS + 1):
                for name, network in able.items():
                    found[name].note(network, tokens, new, warm=number > 0)
        return {name: one.medians() for name, one in found.items()}


@dataclass
class _Found:
    first: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    bytes_a_token: float = 0.0

    def note(self, network: Any, tokens: Tensor, new: int, *, warm: bool) -> None:
        start = _now(tokens.device)
        answer = network.forward(input_ids=tokens, use_cache=True)
        read = answer.logits[:, -1:].argmax(-1)
        first = _now(tokens.device)
        memory = answer.past_key_values
        self.bytes_a_token = sum(held.nbytes for held in _tensors(memory)) / tokens.shape[1]
        for _ in range(new - 1):
            answer = network.forward(input_ids=read, past_key_values=memory, use_cache=True)
            memory, read = answer.past_key_values, answer.logits[:, -1:].argmax(-1)
        if warm:
            self.first.append(first - start)
            self.later.append((_now(tokens.device) - first) / (new - 1))

    def medians(self) -> dict[str, float]:
        return {
            "first_token_ms": 1e3 * median(self.first),
            "tokens_per_second": 1 / median(self.later),
            "cache_bytes_per_token": self.bytes_a_token,
        }


def _writes(network: nn.Module) -> bool:
    return callable(getattr(network, "generate", None)) and hasattr(network, "generation_config")


def _tensors(memory: Any) -> Iterator[Tensor]:
    """Keys and values of a cache of Transformers, layer by layer; of a tuple as well."""
    for layer in getattr(memory, "layers", memory):
        parts = layer if isinstance(layer, tuple | list) else vars(layer).values()
        yield from (part for part in parts if isinstance(part, Tensor))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
