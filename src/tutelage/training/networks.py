"""What lies beside each file of weights: what built the network, its shapes, and what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from tutelage.compression import Changer
from tutelage.errors import CheckpointError
from tutelage.files import write_json
from tutelage.tasks.problem import Problem
from tutelage.training.pretrained import write_pretrained

__all__ = ["describe_network", "materialise", "replay_changes", "write_beside"]


def describe_network(
    network: nn.Module,
    *,
    built_by: Any = None,
    done: Sequence[Mapping[str, Any]] = (),
    view: str | None = None,
) -> dict[str, Any]:
    """A network in plain JSON: its class, what built it, what was done to it, the shapes of its tensors.

    Args:
        network: as its weights are.
        built_by: a model of a recipe with its settings; None for code of the user's own.
        done: what changes did to it, in order.
        view: the part of it that is used, where that is not all.
    """
    kind = type(network)
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "built_by": built_by,
        "done": [dict(one) for one in done],
        "view": view,
        "shapes": {name: list(value.shape) for name, value in network.state_dict().items()},
    }


def replay_changes(
    network: nn.Module, about: Mapping[str, Any], changers: Callable[[str], Changer]
) -> nn.Module:
    """A freshly built network in the shape that its weights have.

    Args:
        network: as its builder gave it.
        about: what lies beside its weights.
        changers: the name of a change -> what replays it.

    Raises:
        CheckpointError: the shapes afterwards are not those of the weights.
    """
    for one in about.get("done", []):
        network = changers(one["change"]).replay(network, one["done"])
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    if about.get("shapes") not in (None, shapes):
        differ = [name for name in shapes if about["shapes"].get(name) != shapes[name]]
        raise CheckpointError(
            f"the network that was built has other shapes than its weights ({', '.join(differ[:4])}); the "
            "recipe beside them is not the one that they were trained by"
        )
    return network


def materialise(network: nn.Module, shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Give lazy layers the shapes that their weights have.

    Args:
        network: changed in place.
        shapes: of its weights, by name.

    Returns:
        the names of those that are lazy still.
    """
    lazy = {
        name: one for name, one in (*network.named_parameters(), *network.named_buffers()) if is_lazy(one)
    }
    for name, held in lazy.items():
        if name in shapes:
            held.materialize(tuple(shapes[name]))
    return [name for name in lazy if name not in shapes]


def write_beside(
    network: nn.Module, problem: Problem, folder: Path, about: Mapping[str, Any] | None
) -> list[str]:
    """Write what a network's weights need beside them, for others to use.

    `network.json`; what the task adds, such as a tokenizer; and what Transformers reads of a network of its
    own, see `pretrained.write_pretrained`.

    Returns:
        the names of what Transformers reads.
    """
    if about is not None:
        write_json(folder / "network.json", dict(about))
    problem.write_files(folder)
    return write_pretrained(network, folder)
