"""Safetensors that carry the checksum of their own tensors, so that a byte that changed is noticed."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
import xxhash
from safetensors.torch import save
from torch import Tensor

__all__ = ["checksum_differs", "sealed"]

_KEY = "xxh3_128"


def sealed(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """The content of a safetensors file, with the checksum of its tensors and of what is said about them.

    Equal tensors give equal bytes: safetensors writes several entries in any order, and here they are sorted.

    Args:
        tensors: by name, contiguous and on the CPU.
        about: entries of the header.
    """
    content: bytes = save(dict(tensors))
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    noted = dict(sorted(about.items())) | {_KEY: _digest(tensors, about)}
    text = json.dumps({"__metadata__": noted} | header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def checksum_differs(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bool:
    """Whether tensors are others than those that were written; false where no checksum was."""
    held = dict(about)
    noted = held.pop(_KEY, None)
    return noted is not None and noted != _digest(tensors, held)


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    digest = xxhash.xxh3_128(json.dumps(sorted(about.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
