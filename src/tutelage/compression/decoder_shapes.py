"""The shape that a decoder is to have: as it was asked for, or found within a budget of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from tutelage.compression.decoder import Decoder, Sizes
from tutelage.compression.decoder_scores import Scores
from tutelage.errors import ModelError

__all__ = ["best", "check_sizes", "kept_of", "shapes_within"]

_PARTS, _LEAST = 8, 2
"""A size is looked at in eighths, from two of them on."""
_ROUND = 8
"""Widths of 64 or more are looked at in multiples of this."""


def check_sizes(decoder: Decoder, asked: Mapping[str, int], *, searched: bool) -> None:
    """Refuse sizes that a network cannot be cut to.

    Args:
        decoder: as it is.
        asked: by the names of the sizes; what is not named stays.
        searched: whether what is not named is searched instead.

    Raises:
        ModelError: a size that is larger than the network's, heads that are no whole groups, one that this
            type of network cannot change, or a width that its heads do not divide.
    """
    now = decoder.sizes.as_dict()
    for name, size in asked.items():
        if name not in decoder.fits:
            raise ModelError(
                f"{name}: {size} came, and of a network of the type {decoder.kind!r} "
                f"{' and '.join(decoder.fits)} alone can be cut, since its heads are a part each of its "
                f"hidden width; leave {name} out"
            )
        if size > now[name]:
            raise ModelError(f"{name}: {size} came, and the network has {now[name]}; give at most that many")
    heads, per_group = asked.get("heads", now["heads"]), decoder.per_group
    if heads % per_group:
        raise ModelError(
            f"heads: {heads} came, and {per_group} heads each share their keys and values, so that whole "
            f"groups go; give a multiple of {per_group}, up to {now['heads']}"
        )
    hidden = asked.get("hidden", now["hidden"])
    if not searched and not decoder.is_built(Sizes(**{**now, **asked})):
        below = hidden // heads * heads
        raise ModelError(
            f"hidden: {hidden} and heads: {heads} came, and Transformers builds a network of the type "
            f"{decoder.kind!r} only where the heads divide the hidden width; give hidden: "
            f"{below or heads}, or other heads"
        )


def best(score: Tensor, count: int) -> list[int]:
    """The places of the largest scores, rising; of equal ones the first.

    Example:
        >>> best(torch.tensor([0.1, 3.0, 3.0, 2.0]), 2)
        [1, 2]
    """
    return sorted(score.argsort(descending=True, stable=True)[:count].tolist())


def kept_of(decoder: Decoder, scores: Scores, sizes: Sizes) -> dict[str, Any]:
    """What stays of a network that is cut to some sizes; see `Decoder.cut`."""
    now = decoder.sizes
    layers = best(scores.layers, sizes.layers)
    groups = sizes.heads // decoder.per_group
    return {
        "layers": layers,
        "hidden": None if sizes.hidden == now.hidden else best(scores.hidden, sizes.hidden),
        "groups": None if sizes.heads == now.heads else [best(scores.groups[at], groups) for at in layers],
        "mlp": None if sizes.mlp == now.mlp else [best(scores.mlp[at], sizes.mlp) for at in layers],
    }


def shapes_within(
    decoder: Decoder, scores: Scores, asked: Mapping[str, int], budget: int
) -> list[tuple[Sizes, float]]:
    """For each number of layers the shape within a budget that loses least, and what it loses.

    What a shape loses is, summed over its sizes, the share of the scores of the parts that go. Of shapes that
    lose the same the larger one is taken.

    Args:
        decoder: as it is.
        scores: of its parts.
        asked: sizes that are settled.
        budget: parameters that may stay.

    Raises:
        ModelError: no shape that is looked at is small enough.
    """
    now, choices = decoder.sizes, _choices(decoder, asked)
    losses = _losses(decoder, scores, choices)
    found: dict[int, tuple[Sizes, float, int]] = {}
    counted = decoder.counter()
    least = counted(now)
    for sizes in _shapes(choices):
        count = counted(sizes)
        if not decoder.is_built(sizes):
            continue
        least = min(least, count)
        if count > budget:
            continue
        lost = sum(losses[name][size] for name, size in sizes.as_dict().items())
        held = found.get(sizes.layers)
        if held is None or (lost, -count) < (held[1], -held[2]):
            found[sizes.layers] = sizes, lost, count
    if not found:
        raise ModelError(
            f"parameters: {budget:,} came, and the smallest shape that is looked at has {least:,} of "
            f"{counted(now):,}; allow more, or give the sizes themselves (layers, hidden, heads, mlp)"
        )
    return [(sizes, lost) for sizes, lost, _ in found.values()]


def _choices(decoder: Decoder, asked: Mapping[str, int]) -> dict[str, list[int]]:
    """The sizes that are looked at, by name."""
    now = decoder.sizes.as_dict()
    units = {"layers": 1, "heads": decoder.per_group}
    found = {}
    for name, size in now.items():
        if name in asked or name not in decoder.fits:
            found[name] = [asked.get(name, size)]
            continue
        unit = units.get(name, _ROUND if size >= 64 else 1)
        parts = {round(size * part / _PARTS / unit) * unit for part in range(_LEAST, _PARTS)}
        found[name] = sorted({part for part in parts if unit <= part < size} | {size})
    return found


def _shapes(choices: Mapping[str, Sequence[int]]) -> Iterator[Sizes]:
    return (
        Sizes(*each) for each in product(*(choices[name] for name in ("layers", "hidden", "heads", "mlp")))
    )


def _losses(
    decoder: Decoder, scores: Scores, choices: Mapping[str, Sequence[int]]
) -> dict[str, dict[int, float]]:
    """By name and size, the share of the scores that goes; of scores by block the mean over blocks."""
    counted: dict[str, tuple[Tensor, Callable[[int], int]]] = {
        "layers": (scores.layers.clamp(min=0), int),
        "hidden": (scores.hidden, int),
        "heads": (scores.groups, lambda heads: heads // decoder.per_group),
        "mlp": (scores.mlp, int),
    }
    found = {}
    for name, sizes in choices.items():
        held, count = counted[name]
        falling = held.sort(-1, descending=True).values
        whole = falling.sum(-1).clamp(min=torch.finfo(torch.float64).tiny)
        found[name] = {
            size: float((1 - falling[..., : count(size)].sum(-1) / whole).mean()) if held.numel() else 0.0
            for size in sizes
        }
    return found
