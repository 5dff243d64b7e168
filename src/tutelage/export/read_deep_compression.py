"""A reader of Deep Compression files that trusts nothing in them. It needs numpy and torch alone."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.errors import CheckpointError

__all__ = ["MAGIC", "PREFIX", "read_deep_compression"]

MAGIC = b"TUTDCZ\x00\x01"
PREFIX = struct.Struct("<8sIIQI")
"""Magic, length and CRC-32 of the header, length and CRC-32 of the body."""

_TYPES = {
    "float16": (torch.float16, "<i2"),
    "bfloat16": (torch.bfloat16, "<i2"),
    "float32": (torch.float32, "<i4"),
    "float64": (torch.float64, "<i8"),
    "bool": (torch.bool, "<i1"),
    "uint8": (torch.uint8, "<i1"),
    "int8": (torch.int8, "<i1"),
    "int16": (torch.int16, "<i2"),
    "int32": (torch.int32, "<i4"),
    "int64": (torch.int64, "<i8"),
}
_LONGEST = 56  # bits of a code
_BLOCK = 1 << 20  # bits that are looked at together


def read_deep_compression(path: Path | str, *, most_bytes: int = 2**30) -> dict[str, Tensor]:
    """Read a state dict from a `.dcz` file; every bit is as it was written.

    Args:
        path: the file.
        most_bytes: what its tensors may take in memory together; a file that claims more is refused before
            anything is made of it.

    Raises:
        CheckpointError: the file is damaged, truncated, foreign or too large.

    Example:
        `network.load_state_dict(read_deep_compression("student.dcz"))`
    """
    limit = f"more than {most_bytes:,} bytes (most_bytes)"
    try:
        _check(Path(path).stat().st_size <= most_bytes, f"it takes {limit}")
        header, body = _parts(Path(path).read_bytes())
        found: dict[str, Tensor] = {}
        at = taken = 0
        for held in header["tensors"]:
            name, count = _described(held)
            _check(name not in found, f"{name} comes twice")
            taken += count * torch.empty(0, dtype=_TYPES[held["dtype"]][0]).element_size()
            _check(taken <= most_bytes, f"its tensors take {limit}")
            sizes = held.get("bytes", [])
            _check(all(map(_is_count, sizes)) and at + sum(sizes) <= len(body), f"{name} is cut short")
            ends = np.cumsum([at, *sizes]).tolist()
            parts = [body[start:end] for start, end in pairwise(ends)]
            at = ends[-1]
            found[name] = _read(held, parts, count, found)
        _check(at == len(body), "something is left over")
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Export it again, or copy it again") from None
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} cannot be read: its header is not of this format ({type(error).__name__}). Export it "
            "again, or copy it again"
        ) from error
    return found


def _described(held: Any) -> tuple[str, int]:
    """The name of a tensor, and how many numbers it has."""
    name, shape, kind = held["name"], held["shape"], held["dtype"]
    _check(isinstance(name, str), f"a name is {str(name)[:60]}")
    _check(
        isinstance(shape, list) and len(shape) <= 64 and all(map(_is_count, shape)),
        f"the shape of {name} is {str(shape)[:60]}",
    )
    _check(kind in _TYPES, f"{name} is of the type {str(kind)[:20]}")
    return name, math.prod(shape)


def _read(held: Any, parts: list[bytes], count: int, found: dict[str, Tensor]) -> Tensor:
    """A tensor from its parts of the body; or one that is the same as another."""
    if held["kind"] != "same":
        read = {"plain": _plain, "coded": _coded}[held["kind"]]
        return read(held, parts, count).view(held["shape"])
    name = held["name"]
    _check(held["as"] in found, f"{name} is the same as a tensor that is not there")
    other = found[held["as"]]
    _check(
        other.dtype == _TYPES[held["dtype"]][0] and list(other.shape) == held["shape"],
        f"{name} is not like the tensor that it is the same as",
    )
    return other.clone()


def _parts(content: bytes) -> tuple[Any, bytes]:
    _check(content[: len(MAGIC)] == MAGIC, "it is no Deep Compression file of this version")
    _check(len(content) >= PREFIX.size, "it is truncated")
    _, length, told, size, sum_of_body = PREFIX.unpack_from(content)
    body = content[PREFIX.size + length :]
    header = content[PREFIX.size : PREFIX.size + length]
    _check(len(header) == length and len(body) == size, "it is truncated, or something was added")
    _check(zlib.crc32(header) == told and zlib.crc32(body) == sum_of_body, "it is damaged (checksum)")
    return json.loads(header), body


def _plain(held: Any, parts: list[bytes], count: int) -> Tensor:
    stored, integers = _TYPES[held["stored"]]
    (content,) = parts
    _check(len(content) == count * np.dtype(integers).itemsize, f"{held['name']} is cut short")
    values = _tensor(np.frombuffer(content, integers).copy(), stored)
    return values.to(_TYPES[held["dtype"]][0])


def _coded(held: Any, parts: list[bytes], count: int) -> Tensor:
    """Places by gaps, and what is there by codes, of which 0 is the zero that pads a long gap."""
    kind, integers = _TYPES[held["dtype"]]
    name, entries = held["name"], held["entries"]
    _check(_is_count(entries) and entries <= count, f"{name} has more entries than places")
    book = np.frombuffer(base64.b64decode(held["codebook"], validate=True), integers)
    table = np.concatenate([np.zeros(1, book.dtype), book])
    gaps = _unpacked(parts[0], held["gaps"], entries, name)
    codes = _unpacked(parts[1], held["codes"], entries, name)
    places = np.cumsum(gaps + 1) - 1
    _check(entries == 0 or int(places[-1]) < count, f"{name} has a place beyond its end")
    _check(entries == 0 or int(codes.max()) < len(table), f"{name} has a code that is not in its codebook")
    flat = np.zeros(count, table.dtype)
    flat[places] = table[codes]
    return _tensor(flat, kind)


def _unpacked(content: bytes, lengths: Any, count: int, name: str) -> NDArray[np.int64]:
    """So many symbols of a canonical Huffman code; `{"only": symbol}` takes no bits."""
    if isinstance(lengths, dict):
        only = lengths["only"]
        _check(_is_count(only) and only < 2**16 and not content, f"a table of {name} is wrong")
        return np.full(count, only, np.int64)
    _check(len(lengths) <= 2**16 and all(map(_is_count, lengths)), f"a table of {name} is wrong")
    order = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    _check(bool(order) and order[-1][0] <= _LONGEST, f"a table of {name} is wrong")
    width = order[-1][0]
    _check(sum(1 << (width - length) for length, _ in order) == 1 << width, f"a table of {name} is wrong")
    sizes = np.array([length for length, _ in order], np.int64)
    steps = np.uint64(1) << (width - sizes).astype(np.uint64)
    starts = np.concatenate([[np.uint64(0)], np.cumsum(steps)[:-1]])  # of each code, with zeros behind it
    symbols = np.array([symbol for _, symbol in order], np.int64)
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    _check(count <= len(bits), f"{name} is cut short")
    found: list[int] = []
    at = base = 0
    while len(found) < count:
        _check(base < len(bits), f"{name} is cut short")
        block = np.zeros(_BLOCK + width, np.uint8)
        seen = bits[base : base + len(block)]
        block[: len(seen)] = seen
        window = np.zeros(_BLOCK, np.uint64)
        for ahead in range(width):
            window = (window << np.uint64(1)) | block[ahead : ahead + _BLOCK]
        which = np.searchsorted(starts, window, side="right") - 1
        step, ranks = sizes[which].tolist(), which.tolist()
        while at < _BLOCK and len(found) < count:
            found.append(ranks[at])
            at += step[at]
        if len(found) < count:
            base, at = base + _BLOCK, at - _BLOCK
    _check(-(-(base + at) // 8) == len(content), f"{name} is not as long as its symbols")
    return symbols[np.array(found, np.int64)]


def _tensor(integers: NDArray[Any], kind: torch.dtype) -> Tensor:
    native = torch.from_numpy(integers.astype(integers.dtype.newbyteorder("="), copy=False))
    return native != 0 if kind == torch.bool else native.view(kind)


def _is_count(came: Any) -> bool:
    return isinstance(came, int) and not isinstance(came, bool) and 0 <= came < 2**62


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckpointError(otherwise)
