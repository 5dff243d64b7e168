"""Which layers can only be pruned together: Torch-Pruning's dependency graph, tried before it is trusted."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from tutelage.compression.attention import attentions
from tutelage.compression.cutting import Cut, cut_, numbered, read_cut
from tutelage.compression.memory import shared_layers
from tutelage.errors import MissingExtra, ModelError

__all__ = ["Ask", "planned", "same_answers", "tried"]

Ask = Callable[[nn.Module], Sequence[Tensor]]
"""All that a network says about some examples."""

_MIXING = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""What divides by the size of all channels: with one channel less the others change."""


def planned(network: nn.Module, ask: Ask, score: str, share: float, scope: str, left: Iterable[str]) -> Cut:
    """What is cut off where a share of the channels and heads goes; the network stays as it is.

    Args:
        network: with gradients, where it is scored by them.
        ask: its answers; what they consist of is not pruned.
        score: `magnitude` or `taylor`.
        share: that goes.
        scope: `layer`, or `global` for the least important of all layers.
        left: paths of layers that stay whole.
    """
    whole = copy.deepcopy(network)
    for parameter, own in zip(whole.parameters(), network.parameters(), strict=True):
        parameter.grad = None if own.grad is None else own.grad.clone()
    pruner = _pruner(whole, ask, score, share, scope, left)
    paths = {module: path for path, module in whole.named_modules()}
    twin = numbered(copy.deepcopy(network))
    for group in pruner.step(interactive=True):
        _prune(group, paths, twin)
        group.prune()
    return _read(network, twin)


def tried(network: nn.Module, ask: Ask) -> tuple[list[str], dict[str, str]]:
    """Try each group of layers with one channel less; layers of the answers, and those left alone with why.

    What reads the channel is silenced first; once the channel is cut, the answers must be what they were.
    """
    whole = copy.deepcopy(network)
    pruner = _pruner(whole, ask, "magnitude", 0.5, "layer", ())
    paths = {module: path for path, module in whole.named_modules()}
    shared = shared_layers(network)
    answers: list[str] = []
    left: dict[str, str] = {}
    for group in pruner.DG.get_all_groups(root_module_types=[_ConvNd, nn.Linear]):
        modules = [dep.target.module for dep, _ in group]
        outer = [
            paths[dep.target.module]
            for dep, _ in group
            if isinstance(dep.target.module, _ConvNd | nn.Linear)
            and pruner.DG.is_out_channel_pruning_fn(dep.handler)
        ]
        if any(type(module).__name__ == "_OutputOp" for module in modules):
            answers += outer
            continue
        why = _why_left(modules, [paths[m] for m in modules if m in paths], shared)
        why = why or _fails(network, ask, pruner, group, paths)
        if why:
            left |= dict.fromkeys(outer, why)
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


def _library() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingExtra(
            "torch_pruning", extra="compress", purpose="prune with `structure: channels`"
        ) from error
    return torch_pruning


def _pruner(network: nn.Module, ask: Ask, score: str, share: float, scope: str, left: Iterable[str]) -> Any:
    """Torch-Pruning's pruner of a network, which it puts into eval mode."""
    library = _library()
    network.requires_grad_(True)
    kinds = {
        "magnitude": library.importance.GroupMagnitudeImportance,
        "taylor": library.importance.GroupTaylorImportance,
    }
    heads = {
        network.get_submodule(each): held.heads for held in attentions(network).values() for each in held.asks
    }
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")  # of parameters that belong to no layer: they are left alone
            return library.pruner.BasePruner(
                network,
                None,
                kinds[score](),
                global_pruning=scope == "global",
                pruning_ratio=share,
                head_pruning_ratio=share,
                prune_num_heads=True,
                prune_head_dims=False,
                ignored_layers=[network.get_submodule(path) for path in left],
                num_heads=heads,
                in_channel_groups={},
                out_channel_groups={},
                root_module_types=[_ConvNd, nn.Linear],
                forward_fn=lambda net, _: [each * 1 for each in ask(net) if each.grad_fn is not None],
            )
    except Exception as error:  # it may fail in any way on a network that it does not understand
        raise ModelError(
            f"prune cannot trace which layers of {type(network).__name__} belong together ({error}); choose "
            "`structure: weights`, or `units` for its linear layers"
        ) from error


def _prune(group: Any, paths: dict[nn.Module, str], twin: nn.Module) -> None:
    """Do to a twin what a group would do to its network."""
    for dep, indices in group:
        if dep.target.module in paths:
            dep.handler.__self__.pruning_dim = dep.target.pruning_dim
            dep.handler(twin.get_submodule(paths[dep.target.module]), indices)


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


def _why_left(modules: Collection[Any], paths: Iterable[str], shared: dict[str, str]) -> str | None:
    for path in paths:
        if path in shared:
            return f"shares the weights of {shared[path]}"
    if any(isinstance(module, nn.Embedding) for module in modules):
        return "has the width of an embedding"
    if any(isinstance(module, nn.Parameter) for module in modules):
        return "is added to, or read by, a parameter that belongs to no layer"
    return None


def _fails(network: nn.Module, ask: Ask, pruner: Any, group: Any, paths: dict[nn.Module, str]) -> str | None:
    """Why a group cannot be pruned; None where it can."""
    one = _one_less(pruner, group)
    if one is None:
        return None
    try:
        silent = copy.deepcopy(network).eval()
        _silence(pruner, one, paths, silent)
        twin = numbered(copy.deepcopy(network))
        _prune(one, paths, twin)
        with torch.no_grad():
            before = ask(silent)
            after = ask(cut_(silent, _read(network, twin)))
    except Exception as error:  # a forward may fail in any way once a layer is narrower
        return f"cannot be cut: {str(error).splitlines()[0]}"
    mixes = any(isinstance(dep.target.module, _MIXING) for dep, _ in group)
    if not same_answers(before, after, values=not mixes):
        return "cannot be cut: the answers are other ones even where nothing reads what was cut off"
    return None


def _one_less(pruner: Any, group: Any) -> Any:
    """A group with one channel of each of its parts, or one head; None where there is but one."""
    root, handler = group[0][0].target.module, group[0][0].handler
    heads = [pruner.num_heads[dep.target.module] for dep, _ in group if dep.target.module in pruner.num_heads]
    if heads:
        reads = [
            dep
            for dep, _ in group
            if isinstance(dep.target.module, nn.Linear) and pruner.DG.is_in_channel_pruning_fn(dep.handler)
        ]
        if heads[0] < 2 or not reads:
            return None
        width = reads[-1].target.module.in_features // heads[0]
        return pruner.DG.get_pruning_group(reads[-1].target.module, reads[-1].handler, list(range(width)))
    count = pruner.DG.get_out_channels(root)
    parts = max(
        [
            m.groups
            for dep, _ in group
            if isinstance(m := dep.target.module, _ConvNd) and m.groups < m.out_channels
        ]
        + [m.num_groups for dep, _ in group if isinstance(m := dep.target.module, nn.GroupNorm)],
        default=1,
    )
    size = count // parts
    return pruner.DG.get_pruning_group(root, handler, [n * size for n in range(parts)]) if size > 1 else None


@torch.no_grad()
def _silence(pruner: Any, group: Any, paths: dict[nn.Module, str], network: nn.Module) -> None:
    """Let nothing read the channels of a group."""
    for dep, indices in group:
        if dep.target.module not in paths or not pruner.DG.is_in_channel_pruning_fn(dep.handler):
            continue
        layer = network.get_submodule(paths[dep.target.module])
        if isinstance(layer, nn.Linear):
            layer.weight[:, indices] = 0
        elif isinstance(layer, _ConvNd) and layer.groups == 1:
            (layer.weight.transpose(0, 1) if layer.transposed else layer.weight)[:, indices] = 0
        elif isinstance(layer, _ConvNd) and layer.groups < layer.in_channels:
            size, rows = layer.in_channels // layer.groups, layer.out_channels // layer.groups
            for index in indices:
                part = index // size
                layer.weight[part * rows : (part + 1) * rows, index % size] = 0
