"""The state of training in one file: tensors in safetensors, the rest as JSON in its header. No pickles.

A checkpoint is written beside its place and moved there in one step, so that a reader finds the old one or
the new one, whole.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tutelage.engine.sealed import checksum_differs, sealed
from tutelage.errors import CheckpointError
from tutelage.files import write_atomically

__all__ = ["Checkpoint", "load_weights", "save_weights", "write_atomically"]

_FORMAT = "tutelage.checkpoint.1"


class Checkpoint:
    """A nested state (mappings, lists, tuples, numbers, strings, tensors) in one safetensors file.

    Args:
        path: where the file stands, or will stand.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether there is something to resume from."""
        return self.path.exists()

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state in one step; the previous file stays until the new one is whole."""
        tensors: dict[str, Tensor] = {}
        tree = _flatten(state, tensors)
        write_atomically(self.path, sealed(tensors, {_FORMAT: json.dumps(tree)}))

    def load(self) -> Any:
        """Read the state back.

        Raises:
            CheckpointError: the file is truncated, or not a checkpoint of ours.
        """
        tensors, header = _read(self.path)
        if _FORMAT not in header:
            came = ", ".join(sorted(header)) or "nothing"
            raise CheckpointError(
                f"{self.path} is a safetensors file but not a checkpoint of tutelage (its header has {came}, "
                f"expected {_FORMAT}); point --resume at the folder of a run"
            )
        try:
            return _unflatten(json.loads(header[_FORMAT]), tensors)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} is damaged: its tensors and its header do not belong together ({error}); "
                "delete it to start anew, or restore it from a copy"
            ) from error


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's state dict as plain safetensors, loadable without tutelage.

    What wrappers put before the names (`module.` of `DataParallel`, `_orig_mod.` of `torch.compile`) is left
    out, so that the file loads into the class that was wrapped.
    """
    state = _unwrapped(module).state_dict()
    tensors = {_plain(name): _own(value) for name, value in state.items() if isinstance(value, Tensor)}
    write_atomically(path, sealed(tensors, {"format": "pt"}))


def load_weights(path: Path, module: nn.Module) -> None:
    """Read a state dict from safetensors, or from a file that `torch.load(weights_only=True)` takes.

    A wrapper's part of a name may be there or not, in the file and in the module.

    Raises:
        CheckpointError: the file is truncated, unsafe, or made for another network.
    """
    if not path.is_file():
        raise CheckpointError(f"no file of weights at {path}")
    state = _read_torch(path) if _is_pickle(path) else _read(path)[0]
    try:
        network = _unwrapped(module)
        own = {_plain(name): name for name in network.state_dict()}
        state = {_plain(name): held for name, held in state.items()}
        if state and not any(name.startswith("module.") for name in own):
            state = {name.removeprefix("module."): held for name, held in state.items()}
        network.load_state_dict({own.get(name, name): held for name, held in state.items()})
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit {type(module).__name__}: {error}") from error


def _unwrapped(module: nn.Module) -> nn.Module:
    """The user's network under `DataParallel`, `DistributedDataParallel` and `torch.compile`."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def _plain(name: str) -> str:
    """A name without what compiled parts put into it."""
    return name.replace("_orig_mod.", "")


def _own(tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU, which shares memory with nothing."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    match value:
        case Tensor():
            name = str(len(tensors))
            tensors[name] = _own(value)
            return {"tensor": name}
        case Counter():  # the milestones of MultiStepLR
            return {"counter": [[_flatten(k, tensors), count] for k, count in value.items()]}
        case Mapping():
            return {"map": [[_flatten(k, tensors), _flatten(v, tensors)] for k, v in value.items()]}
        case tuple():
            return {"tuple": [_flatten(item, tensors) for item in value]}
        case list():
            return {"list": [_flatten(item, tensors) for item in value]}
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"a checkpoint holds tensors and plain values, and a {type(value).__name__} is neither")


def _unflatten(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "map":
            return {_unflatten(k, tensors): _unflatten(v, tensors) for k, v in content}
        case "counter":
            return Counter({_unflatten(k, tensors): count for k, count in content})
        case "tuple":
            return tuple(_unflatten(item, tensors) for item in content)
    return [_unflatten(item, tensors) for item in content]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if _is_pickle(path):
        raise CheckpointError(
            f"{path} is a pickle, which can run code when it is opened, and safetensors was expected; "
            "save the weights with safetensors.torch.save_file(model.state_dict(), path)"
        )
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except (SafetensorError, OSError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is truncated, or no safetensors file ({error}); delete it to start from the last state "
            "before it, or restore it from a copy"
        ) from error
    if checksum_differs(found, header):
        raise CheckpointError(
            f"{path} is damaged: its tensors do not have the checksum that was written with them; delete it "
            "to start from the last state before it, or restore it from a copy"
        )
    return found, header


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{path} holds more than tensors, so opening it could run code; expected safetensors or a plain "
            "state dict. Save it again with safetensors.torch.save_file(model.state_dict(), path)"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(
            f"{path} holds a {type(state).__name__}, and a state dict of tensors was expected"
        )
    return dict(state)


def _is_pickle(path: Path) -> bool:
    """Whether torch wrote the file; safetensors have a brace where the length of their header ends."""
    with open(path, "rb") as file:
        head = file.read(9)
    return head[8:] != b"{" and head.startswith((b"PK", b"\x80"))
