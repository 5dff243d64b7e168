"""Weights spread over processes (FSDP2): each holds a part of every tensor, and gathers a block when it runs.

What is written to disk is always whole, so that a run goes on, and a network loads, on any number of
processes.
"""

from __future__ import annotations

import copy
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.engine.parallel import Runtime
from tutelage.engine.spread_tensors import is_spread

__all__ = ["is_sharded", "like", "own", "rest", "sharded", "spread", "spread_moments_", "whole"]


def sharded(network: nn.Module, runtime: Runtime) -> nn.Module:
    """A copy whose weights are spread over the processes; on one process, the network itself.

    Each block in a list of blocks (`nn.ModuleList`) is gathered by itself when it runs, and all the rest
    together.

    Args:
        network: alike on every process.
        runtime: the processes.
    """
    if runtime.world == 1:
        return network
    # Imported where weights are spread, because it takes more than a second.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    runtime.same_everywhere_([network])
    mesh = init_device_mesh(runtime.device.type, (runtime.world,))
    copied = copy.deepcopy(network)
    for block in _blocks(copied):
        fully_shard(block, mesh=mesh)
    fully_shard(copied, mesh=mesh)
    return copied


def rest(network: nn.Module) -> None:
    """Leave each process with its own part of the weights, after a forward pass without a backward.

    What such a pass gathered is still there, and stands where a network's parameters are looked for.
    """
    if "torch.distributed.fsdp" not in sys.modules:
        return
    from torch.distributed.fsdp import FSDPModule

    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def is_sharded(tensors: Iterable[Tensor | None]) -> bool:
    """Whether any of these is spread over processes."""
    return any(is_spread(tensor) for tensor in tensors)


def own(tensor: Tensor) -> Tensor:
    """The part that this process holds; all of a tensor that is not spread."""
    return tensor.to_local() if is_spread(tensor) else tensor


def whole(state: Any) -> Any:
    """A nested state in which no tensor is spread; every process must call it."""
    if is_spread(state):
        return state.full_tensor()
    if isinstance(state, dict) and type(state) in (dict, OrderedDict):
        return {key: whole(value) for key, value in state.items()}
    if type(state) in (list, tuple):
        return type(state)(whole(value) for value in state)
    return state


def like(value: Tensor, held: Tensor) -> Tensor:
    """A whole tensor, spread as another one is, if it is."""
    if not is_spread(held) or is_spread(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(held.device), held.device_mesh, held.placements)


def spread(state: Mapping[str, Any], module: nn.Module) -> dict[str, Any]:
    """A whole state dict, each tensor spread as that of the module is."""
    held = module.state_dict()
    return {
        name: like(value, held[name]) if isinstance(value, Tensor) and name in held else value
        for name, value in state.items()
    }


def spread_moments_(optimizer: torch.optim.Optimizer) -> None:
    """Spread what an optimiser keeps of each parameter as the parameter is."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    optimizer.state[parameter][name] = like(value, parameter)


def _blocks(network: nn.Module) -> list[nn.Module]:
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    inner = {id(one) for held in lists for block in held for one in block.modules() if one in lists}
    return [
        block
        for held in lists
        if id(held) not in inner
        for block in held
        if any(True for _ in block.parameters())
    ]
