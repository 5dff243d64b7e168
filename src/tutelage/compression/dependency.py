"""What is cut off a network by its dependency graph, which is tried before it is trusted."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from tutelage.compression.attention import attentions
from tutelage.compression.coupled import Ask, Graph, Group
from tutelage.compression.cutting import Cut, cut_, numbered, read_cut
from tutelage.compression.memory import shared_layers
from tutelage.errors import first_line

__all__ = ["planned", "same_answers", "tried"]

_MIXING = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""What divides by the size of all channels: with one channel less the others change."""


def planned(network: nn.Module, ask: Ask, score: str, share: float, scope: str, left: Collection[str]) -> Cut:
    """What is cut off where a share of the channels and heads goes; the network stays as it is.

    Args:
        network: with gradients, where it is scored by them.
        ask: its answers; what they consist of is not pruned.
        score: `magnitude` or `taylor`.
        share: that goes; of each layer one channel or head stays.
        scope: `layer`, or `global` for the least important of all layers: of all channels, and of all heads.
        left: paths of layers that stay whole.
    """
    graph = Graph(network, ask)
    groups = [group for group in graph.groups() if not set(group.outer) & set(left) and group.count > 1]
    scores = [group.scores(score) for group in groups]
    twin = numbered(copy.deepcopy(network))
    for group, pieces in zip(groups, _least(groups, scores, share, scope), strict=True):
        if pieces:
            joint = group.without(pieces)
            graph.prune(joint, twin)
            joint.prune()
    return _read(network, twin)


def _least(groups: Sequence[Group], scores: Sequence[Tensor], share: float, scope: str) -> list[list[int]]:
    """The pieces of each group that go."""
    if scope == "layer":
        return [_smallest(each, _gone(len(each), share)) for each in scores]
    found = []
    for group, each in zip(groups, scores, strict=True):
        alike = [s for g, s in zip(groups, scores, strict=True) if bool(g.heads) == bool(group.heads)]
        pool = torch.cat(alike)
        count = _gone(len(pool), share)
        bound = pool.kthvalue(count).values if count else -torch.inf
        found.append(_smallest(each, int((each <= bound).sum())))
    return found


def _smallest(scores: Tensor, count: int) -> list[int]:
    found: list[int] = scores.topk(min(count, len(scores) - 1), largest=False).indices.tolist()
    return found


def _gone(total: int, share: float) -> int:
    return total - int(total * (1 - share))


def tried(network: nn.Module, ask: Ask) -> tuple[list[str], dict[str, str]]:
    """Try each group of layers with one channel less; layers of the answers, and those left alone with why.

    What reads the channel is silenced first; once the channel is cut, the answers must be what they were.
    """
    graph = Graph(network, ask)
    shared = shared_layers(network)
    answers: list[str] = []
    left: dict[str, str] = {}
    for group in graph.groups():
        if any(type(module).__name__ == "_OutputOp" for module in group.modules):
            answers += group.outer
            continue
        why = _why_left(graph, group, shared) or _fails(network, ask, graph, group)
        if why:
            left |= dict.fromkeys(group.outer, why)
    return answers, left


def same_answers(before: Sequence[Tensor], after: Sequence[Tensor], *, values: bool) -> bool:
    """Whether answers have the shapes that they had, are finite, and if asked for are the same."""
    if [each.shape for each in before] != [each.shape for each in after]:
        return False
    for one, other in zip(before, after, strict=True):
        near = 1e-4 * float(one.abs().max().clamp(min=1.0)) if one.numel() else 0.0
        if not bool(other.isfinite().all()) or (values and not torch.allclose(one, other, 1e-3, near)):
            return False
    return True


def _read(network: nn.Module, twin: nn.Module) -> Cut:
    """What was cut off a twin, with what attention is to be told of its heads."""
    for path, held in attentions(network).items():
        parts = 3 if len(held.asks) == 1 else 1
        asks = twin.get_submodule(held.asks[0])
        assert isinstance(asks, nn.Linear)
        heads = asks.out_features // parts // (held.width // held.heads)
        for name, number in held.numbers(network.get_submodule(path), heads).items():
            setattr(twin.get_submodule(path), name, number)
    return read_cut(network, twin)


def _why_left(graph: Graph, group: Group, shared: dict[str, str]) -> str | None:
    for path in (graph.paths[module] for module in group.modules if module in graph.paths):
        if path in shared:
            return f"shares the weights of {shared[path]}"
    if any(isinstance(module, nn.Embedding) for module in group.modules):
        return "has the width of an embedding"
    if any(isinstance(module, nn.Parameter) for module in group.modules):
        return "is added to, or read by, a parameter that belongs to no layer"
    return None


def _fails(network: nn.Module, ask: Ask, graph: Graph, group: Group) -> str | None:
    """Why a group cannot be pruned; None where it can, or has but one channel."""
    if group.count < 2:
        return None
    try:
        joint = group.without([0])
        silent = copy.deepcopy(network).eval()
        _silence(graph, joint, silent)
        twin = numbered(copy.deepcopy(network))
        graph.prune(joint, twin)
        with torch.no_grad():
            before = ask(silent)
            after = ask(cut_(silent, _read(network, twin)))
    except Exception as error:  # a forward may fail in any way once a layer is narrower
        return f"cannot be cut: {first_line(error)}"
    mixes = any(isinstance(module, _MIXING) for module in group.modules)
    if not same_answers(before, after, values=not mixes):
        return "cannot be cut: the answers are other ones even where nothing reads what was cut off"
    return None


@torch.no_grad()
def _silence(graph: Graph, joint: Any, network: nn.Module) -> None:
    """Let nothing read the channels of a group."""
    for dep, indices in joint:
        if dep.target.module not in graph.paths or not graph.reads(dep):
            continue
        layer = network.get_submodule(graph.paths[dep.target.module])
        if isinstance(layer, nn.Linear):
            layer.weight[:, indices] = 0
        elif isinstance(layer, _ConvNd) and layer.groups == 1:
            (layer.weight.transpose(0, 1) if layer.transposed else layer.weight)[:, indices] = 0
        elif isinstance(layer, _ConvNd) and layer.groups < layer.in_channels:
            size, rows = layer.in_channels // layer.groups, layer.out_channels // layer.groups
            for index in indices:
                part = index // size
                layer.weight[part * rows : (part + 1) * rows, index % size] = 0
