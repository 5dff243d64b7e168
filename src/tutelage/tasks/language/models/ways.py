"""How a network reads rows of several documents: found by trying, on its own weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.modes import evaluating

__all__ = ["WAYS", "Way", "choose_way", "window_of"]

Way = Literal["mask", "positions", "apart"]
"""A mask within documents; Transformers' own, which it makes where positions begin anew; each by itself."""

WAYS: tuple[Way, ...] = ("mask", "positions", "apart")

_CONTENT = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
_PLACE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-3}
_NAMES = ("sliding_window", "attention_chunk_size", "local_attention", "window_size", "attention_window_size")

Answer = Callable[[Any, Way | None, Tensor, Tensor | None, Tensor | None], Tensor]


def window_of(network: Any) -> int | None:
    """Beyond how many positions some layer does not look back; None where all look at everything.

    A configuration that names a window and a list of layers without it (Qwen2) has none.
    """
    config = network.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and not any("sliding" in str(kind) or "chunked" in str(kind) for kind in kinds):
        return None
    found = [getattr(config, name, None) for name in _NAMES]
    whole = [each for each in found if isinstance(each, int) and each > 0]
    return min(whole, default=None)


def choose_way(network: nn.Module, answer: Answer, *, fresh: bool) -> Way:
    """The first way by which a document's answers are those that it gets alone.

    Tried on a row of two documents: the second must get what the network says of it by itself, whatever
    stands before. A network with a window is asked by Transformers' own mask first, which knows the window.

    Args:
        network: a causal language model of Transformers.
        answer: (network, way, tokens, positions, documents) -> logits [n, length, vocabulary]; with the way
            None, its own of one document.
        fresh: its weights are random, so that some that begin at zero may hide a leak; these are moved on a
            copy.

    Raises:
        ModelError: by no way; with what went wrong in each.
    """
    tried = _stirred(network) if fresh else network
    if _looks_ahead(tried, answer):
        raise ModelError(
            f"{type(network).__name__} looks at the tokens after a position, and a causal model is asked for "
            "the next of them; take one that does not (of BERT's kind, one with is_decoder: true)"
        )
    order = WAYS if window_of(network) is None else ("positions", "apart")
    said = []
    for way in order:
        wrong = _wrong(tried, answer, way)
        if wrong is None:
            return way
        said.append(f"{_SAID[way]}: {wrong}")
    raise ModelError(
        f"{type(network).__name__} cannot read rows of several documents without one reaching into the next "
        f"({'; '.join(said)}); take another network, such as llama or qwen2"
    )


_SAID = {
    "mask": "under a mask",
    "positions": "by positions that begin anew",
    "apart": "with each document by itself",
}


def _stirred(network: nn.Module) -> nn.Module:
    """A copy of which no weight is zero."""
    made = copy.deepcopy(network)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.is_floating_point():
                noise = torch.randn(weight.shape, generator=draw) * 0.02
                weight.add_(noise.to(weight))
    return made


def _looks_ahead(network: Any, answer: Answer) -> bool:
    """Whether what it says of the first tokens depends on those after; false where it cannot be asked."""
    tokens = _tokens(network).to(next(network.parameters()).device)
    if len(tokens) < 4:
        return False
    row = tokens[torch.arange(8) % len(tokens)]
    other = torch.cat([row[:4], row[:4].flip(0)])
    try:
        with torch.no_grad(), evaluating(network):
            first, second = (answer(network, None, each.unsqueeze(0), None, None) for each in (row, other))
    except Exception:  # said later, of each way
        return False
    scale = max(float((first - first.mean()).abs().max()), 1e-6)
    return float((first - second)[0, :4].abs().max()) / scale > 10 * _CONTENT.get(_kind(network), 1e-5)


def _kind(network: nn.Module) -> torch.dtype:
    held = next(network.parameters()).dtype
    return held if held in _CONTENT else torch.float32


def _wrong(network: Any, answer: Answer, way: Way) -> str | None:
    """What is wrong with a way; None where nothing is."""
    weight = next(network.parameters())
    kind = _kind(network)
    tokens = _tokens(network).to(weight.device)
    if len(tokens) < 4:
        return "its vocabulary is too small to try"
    second = tokens[torch.arange(7) % len(tokens)]
    firsts = [tokens[torch.arange(5) * step % len(tokens)] for step in (1, 3)] + [tokens[-3:]]
    try:
        with torch.no_grad(), evaluating(network):
            own = answer(network, None, second.unsqueeze(0), None, None)[0]
            found = [_second(network, answer, way, first, second) for first in firsts]
    except Exception as error:  # whatever a network raises at what it does not expect
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    scale = max(float((own - own.mean()).abs().max()), 1e-6)
    moved = float((found[0] - found[1]).abs().max()) / scale
    away = max(float((each - own).abs().max()) for each in found) / scale
    if not moved <= _CONTENT[kind]:
        return f"its answers move by {moved:.1e} of their range with the document before"
    if not away <= _PLACE[kind]:
        return f"its answers are {away:.1e} of their range from those to the document alone"
    return None


def _second(network: Any, answer: Answer, way: Way, first: Tensor, second: Tensor) -> Tensor:
    """The answers to the second of three documents in a row, of which the third is a little longer."""
    parts = [first, second, torch.cat([first[:1], second])]
    tokens = torch.cat(parts).unsqueeze(0)
    positions = torch.cat([torch.arange(len(part)) for part in parts]).unsqueeze(0).to(tokens.device)
    numbers = torch.cat([torch.full((len(part),), n) for n, part in enumerate(parts)])
    found = answer(network, way, tokens, positions, numbers.unsqueeze(0).to(tokens.device))
    return found[0, len(first) : len(first) + len(second)]


def _tokens(network: Any) -> Tensor:
    """Some ordinary tokens: none of those that a network may read in another way, such as padding."""
    config = network.config.get_text_config()
    begin, end, filling = (getattr(config, f"{name}_token_id", None) for name in ("bos", "eos", "pad"))
    special = {begin, filling, *(end if isinstance(end, list | tuple) else [end])}
    ids = [number for number in range(min(64, config.vocab_size)) if number not in special]
    return torch.tensor(ids[2:] if len(ids) > 8 else ids)
