"""Layers that can only be pruned together, by Torch-Pruning's dependency graph."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from tutelage.compression.attention import attentions
from tutelage.errors import MissingExtra, ModelError

__all__ = ["Ask", "Graph", "Group"]

Ask = Callable[[nn.Module], Sequence[Tensor]]
"""All that a network says about some examples."""

_ROOTS = (_ConvNd, nn.Linear)


class Graph:
    """The dependency graph of a copy of a network, traced by its answers.

    Args:
        network: with gradients, where groups are scored by them; its weights are plain.
        ask: its answers.

    Raises:
        MissingExtra: Torch-Pruning is not installed.
        ModelError: the network cannot be traced.
    """

    def __init__(self, network: nn.Module, ask: Ask) -> None:
        self.library = _library()
        self.network = copy.deepcopy(network).requires_grad_(True)
        for parameter, own in zip(self.network.parameters(), network.parameters(), strict=True):
            parameter.grad = None if own.grad is None else own.grad.clone()
        self.paths = {module: path for path, module in self.network.named_modules()}
        self.heads = {
            self.network.get_submodule(each): held.heads
            for held in attentions(self.network).values()
            for each in held.asks
        }
        try:
            with warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore")  # of operators that it takes for elementwise: they are tried
                self.graph = self.library.DependencyGraph().build_dependency(
                    self.network,
                    None,
                    forward_fn=lambda net, _: [each * 1 for each in ask(net) if each.grad_fn is not None],
                    verbose=False,
                )
        except Exception as error:  # it may fail in any way on a network that it does not understand
            raise ModelError(
                f"prune cannot trace which layers of {type(network).__name__} belong together ({error}); "
                "choose `structure: weights`, or `units` for its linear layers"
            ) from error

    def groups(self) -> Iterator[Group]:
        """The groups of layers whose channels go together."""
        for joint in self.graph.get_all_groups(root_module_types=list(_ROOTS)):
            yield Group(self, joint)

    def gives(self, dep: Any) -> bool:
        """Whether a dependency is about what a layer gives."""
        return bool(self.graph.is_out_channel_pruning_fn(dep.handler))

    def reads(self, dep: Any) -> bool:
        """Whether a dependency is about what a layer reads."""
        return bool(self.graph.is_in_channel_pruning_fn(dep.handler))

    def prune(self, joint: Any, twin: nn.Module) -> None:
        """Do to a twin of the network what pruning layers together does to it."""
        for dep, indices in joint:
            if dep.target.module in self.paths:
                dep.handler.__self__.pruning_dim = dep.target.pruning_dim
                dep.handler(twin.get_submodule(self.paths[dep.target.module]), indices)


class Group:
    """Layers whose channels go together, in pieces: a channel, one of each part of a grouped layer, a head.

    Args:
        graph: where they are found.
        joint: what Torch-Pruning says of them.
    """

    def __init__(self, graph: Graph, joint: Any) -> None:
        self.graph = graph
        self.modules = [dep.target.module for dep, _ in joint]
        self.outer = [
            graph.paths[dep.target.module]
            for dep, _ in joint
            if isinstance(dep.target.module, _ROOTS) and graph.gives(dep)
        ]
        counts = [graph.heads[dep.target.module] for dep, _ in joint if dep.target.module in graph.heads]
        readers = [dep for dep, _ in joint if isinstance(dep.target.module, nn.Linear) and graph.reads(dep)]
        self.heads = counts[0] if counts and readers else 0
        self.root = readers[-1] if self.heads else joint[0].dep
        if self.heads:  # seen from what reads the heads, one after the other
            width = self.root.target.module.in_features
            self.parts, self.count, self.size = 1, self.heads, width // self.heads
        else:
            width = graph.graph.get_out_channels(self.root.target.module)
            self.parts = _parts(self.modules)
            self.count, self.size = width // self.parts, 1
        self.joint = self._of(range(width)) if self.heads else joint

    def without(self, pieces: Sequence[int]) -> Any:
        """The layers, and the indices in each that go with some pieces."""
        return self._of(
            sorted(
                part * self.count + piece * self.size + index
                for part in range(self.parts)
                for piece in pieces
                for index in range(self.size)
            )
        )

    def scores(self, by: str) -> Tensor:
        """What each piece is worth: the mean over its channels."""
        importance = self.graph.library.importance
        kinds = {"magnitude": importance.GroupMagnitudeImportance, "taylor": importance.GroupTaylorImportance}
        found: Tensor = kinds[by]()(self.joint).cpu()
        return found.view(self.count, self.size).mean(1) if self.heads else found.view(self.parts, -1).mean(0)

    def _of(self, indices: Sequence[int]) -> Any:
        return self.graph.graph.get_pruning_group(self.root.target.module, self.root.handler, list(indices))


def _parts(modules: Sequence[Any]) -> int:
    """How many parts of equal size the channels have, because some layer treats them so."""
    convolutions = [m.groups for m in modules if isinstance(m, _ConvNd) and m.groups < m.out_channels]
    return max([*convolutions, *(m.num_groups for m in modules if isinstance(m, nn.GroupNorm))], default=1)


def _library() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingExtra(
            "torch_pruning", extra="compress", purpose="prune with `structure: channels`"
        ) from error
    return torch_pruning
