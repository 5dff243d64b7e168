"""Attention whose heads can be taken out: which layers ask, and where the number of heads is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

__all__ = ["Attention", "attentions"]

_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads")
_APART = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("to_q", "to_k", "to_v"),
    ("q", "k", "v"),
)
_TOGETHER = ("qkv", "to_qkv", "in_proj")


@dataclass(frozen=True)
class Attention:
    """An attention module.

    Args:
        count: the attribute that says how many heads it has.
        heads: how many.
        asks: paths of the linear layers that give query, key and value: three, or one for all.
        width: of all heads together.
    """

    count: str
    heads: int
    asks: tuple[str, ...]
    width: int

    def numbers(self, module: nn.Module, heads: int) -> dict[str, int]:
        """What the module is to be told once so many heads are left: their number, and the width of all."""
        width = self.width // self.heads * heads
        total = {
            name: width
            for name, value in vars(module).items()
            if type(value) is int and value == self.width and ("head" in name or "inner" in name)
        }
        return {**total, self.count: heads}


def attentions(network: nn.Module) -> dict[str, Attention]:
    """Attention modules that say how many heads they have, by path.

    Query, key and value are linear layers beside one another, by their usual names, or one layer for all
    three. Where several queries share a key, heads are not found.

    Example:
        >>> class Own(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.num_heads, self.qkv = 2, nn.Linear(8, 24)
        >>> attentions(Own())
        {'': Attention(count='num_heads', heads=2, asks=('qkv',), width=8)}
    """
    found = {}
    for path, module in network.named_modules():
        count = next((name for name in _COUNTS if type(vars(module).get(name)) is int), None)
        if count is not None:
            inner: Mapping[str, nn.Module] = dict(module.named_children())
            held = _found(path, count, vars(module)[count], inner)
            if held is not None:
                found[path] = held
    return found


def _found(path: str, count: str, heads: int, inner: Mapping[str, nn.Module]) -> Attention | None:
    before = f"{path}." if path else ""
    for names in _APART:
        layers = [inner.get(name) for name in names]
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        widths = {layer.out_features for layer in linear}
        if len(linear) == 3 and len(widths) == 1 and not (width := widths.pop()) % heads:
            return Attention(count, heads, tuple(before + name for name in names), width)
    for name in _TOGETHER:
        layer = inner.get(name)
        if isinstance(layer, nn.Linear) and not layer.out_features % (3 * heads):
            return Attention(count, heads, (before + name,), layer.out_features // 3)
    return None
