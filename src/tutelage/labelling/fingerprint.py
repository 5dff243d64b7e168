"""A name for a teacher that no other teacher has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tutelage.teachers import Teacher

__all__ = ["fingerprint"]


def fingerprint(teacher: Teacher, first: Tensor, said: Any = None) -> str:
    """A hash of a teacher's weights, its first answers where it has none, and what a recipe says of it."""
    digest = hashlib.sha256(type(teacher).__name__.encode())
    digest.update(json.dumps(_lasting(said), sort_keys=True, default=str).encode())
    for name, value in sorted(teacher.state_dict().items()):
        if isinstance(value, Tensor):
            digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
            digest.update(_raw(value))
    if not teacher.state_dict():
        digest.update(_raw(first.float()))
    return digest.hexdigest()


def _lasting(said: Any) -> Any:
    """What a recipe says of a teacher, without what leaves its answers as they are: where, and how fast."""
    if isinstance(said, Mapping):
        passing = {"remember", "sharded", "compiled"}
        passing |= {"weights"} if isinstance(said.get("weights"), str) else set()
        return {key: _lasting(held) for key, held in said.items() if key not in passing}
    return [_lasting(held) for held in said] if isinstance(said, list | tuple) else said


def _raw(value: Tensor) -> Any:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
