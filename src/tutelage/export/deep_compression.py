"""Sparse and shared weights, Huffman-coded, as one small file."""

from __future__ import annotations

import base64
import copy
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.capture import call
from tutelage.errors import ModelError
from tutelage.export.checking import Record, compare_answers, new_file, record
from tutelage.export.huffman import code_lengths, pack, packed_size
from tutelage.export.read_deep_compression import MAGIC, PREFIX, read_deep_compression
from tutelage.traced import Logits, ready

__all__ = ["deep_compression"]

_WIDTHS = range(1, 13)
_INTEGERS: dict[int, type[np.generic]] = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def deep_compression(
    network: nn.Module,
    example: Any,
    path: Path | str,
    *,
    tolerance: float = 1e-4,
    overwrite: bool = False,
    rest: Literal["exact", "float16"] = "exact",
    index_bits: int | None = None,
) -> Record:
    """Write a pruned network with shared weights as one small file: Deep Compression.

    Of each weight with few values the file holds where it is not zero, as gaps of a fixed number of bits
    (a longer one is padded with a zero), and which of its layer's values is there; gaps and codes are
    Huffman-coded. All other tensors, such as biases, are written as they are. `read_deep_compression` gives
    the state dict back, bit by bit.

    The file: eight bytes of magic, length and CRC-32 of a JSON header, length and CRC-32 of the body; the
    header with names, shapes, code lengths and codebooks; the body.

    Args:
        network: settled, its weights pruned and shared; its modes, device and weights stay as they are.
        example: what it is called with: a tensor, a tuple or a mapping, the first axis counting examples.
        path: the file to write, usually `.dcz`.
        tolerance: the largest difference of a logit that the check allows, as a share of the largest logit.
        overwrite: replace a file that is there.
        rest: how floating tensors without few values are written: `exact`, or as `float16`, which differs.
        index_bits: bits of a gap, 1 to 12; None for what makes each tensor smallest.

    Returns:
        `format`, `path`, `bytes`, and how far the logits of what was read back are: see
        `tutelage.export.checking.Agreement`; `breakdown` of the bytes into `indices`, `codes`, `tables` (the
        header, with codebooks, names and shapes) and `rest`; `plain_bytes`, what the tensors take in memory;
        and `coded`, the names of the tensors with few values.

    Raises:
        ValueError: settings out of range.
        ModelError: weights are computed from others, no tensor has few values, or what was read back differs.
        OutputError: the file is there already, or cannot be written.

    Source: Han et al. 2016, "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained
        Quantization and Huffman Coding", sections 2 to 4. Differences: each tensor has the width of gaps that
        makes it smallest, where the paper has 5 bits for linear layers and 8 for convolutions; there may be
        codes for any number of values; a dense tensor needs no bits for places.

    Example:
        >>> import tempfile
        >>> network = nn.Linear(100, 10)
        >>> _ = nn.init.zeros_(network.weight)
        >>> with torch.no_grad():
        ...     network.weight[:, ::9] = 0.5
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     said = deep_compression(network, torch.ones(1, 100), f"{folder}/student.dcz")
        ...     state = read_deep_compression(said["path"])
        >>> torch.equal(state["weight"], network.weight), said["plain_bytes"], said["bytes"] < 500
        (True, 4040, True)
    """
    if rest not in ("exact", "float16"):
        raise ValueError(f"rest came as {rest!r}; 'exact' or 'float16' is expected")
    if index_bits is not None and index_bits not in _WIDTHS:
        raise ValueError(f"index_bits came as {index_bits!r}; a whole number of 1 to 12 is expected")
    if any(parametrize.is_parametrized(module) for module in network.modules()):
        raise ModelError(
            f"weights of {type(network).__name__} are still computed from others; make them plain with "
            "tutelage.compression.settle(network), and export that"
        )
    path = Path(path)
    with ready(network) as logits, new_file(path, overwrite=overwrite) as file:
        tensors = {
            name: value for name, value in logits.network.state_dict().items() if isinstance(value, Tensor)
        }
        widths = _WIDTHS if index_bits is None else (index_bits,)
        content, said = _written(tensors, widths, halved=rest == "float16")
        if not said["coded"]:
            raise ModelError(
                f"no weight of {type(logits.network).__name__} has few values; prune and share first "
                "(- prune: …, - share: {bits: 5} in a recipe), or export to safetensors"
            )
        file.write_bytes(content)
        state = read_deep_compression(file)
        _same(tensors, state, said.pop("halved"))
        twin = copy.deepcopy(logits.network)

        def read_back(inputs: Any) -> Tensor:
            twin.load_state_dict(state)
            answer: Tensor = call(Logits(twin).eval(), inputs)
            return answer

        agreement = compare_answers(
            logits, example, read_back, tolerance=tolerance, what="the Deep Compression file"
        )
    return record("deep_compression", path, agreement) | said


def _written(tensors: Mapping[str, Tensor], widths: Any, *, halved: bool) -> tuple[bytes, dict[str, Any]]:
    """The file, and what is said of it."""
    about: list[dict[str, Any]] = []
    parts: list[bytes] = []
    sizes = dict.fromkeys(("indices", "codes", "tables", "rest"), 0)
    firsts: dict[Any, str] = {}
    half, coded = [], []
    for name, tensor in tensors.items():
        bits = _bits(tensor)
        held: dict[str, Any] = {"name": name, "shape": list(tensor.shape), "dtype": _name(tensor.dtype)}
        first = firsts.setdefault((held["dtype"], *tensor.shape, bits.tobytes()), name)
        if first != name:
            about.append(held | {"kind": "same", "as": first})
            continue
        found = _coded(bits, widths) if tensor.is_floating_point() else None
        if found is not None:
            tables, streams = found
            coded.append(name)
            sizes["indices"] += len(streams[0])
            sizes["codes"] += len(streams[1])
        else:
            stored = tensor.half() if halved and _halves(tensor) else tensor
            half += [name] * (stored is not tensor)
            tables, streams = {"kind": "plain", "stored": _name(stored.dtype)}, [_little(_bits(stored))]
            sizes["rest"] += len(streams[0])
        about.append(held | tables | {"bytes": [len(stream) for stream in streams]})
        parts += streams
    header = json.dumps({"tensors": about}, separators=(",", ":")).encode()
    body = b"".join(parts)
    prefix = PREFIX.pack(MAGIC, len(header), zlib.crc32(header), len(body), zlib.crc32(body))
    sizes["tables"] = len(prefix) + len(header)
    plain = sum(tensor.nbytes for tensor in tensors.values())
    return prefix + header + body, {"breakdown": sizes, "plain_bytes": plain, "coded": coded, "halved": half}


def _coded(bits: NDArray[Any], widths: Any) -> tuple[dict[str, Any], list[bytes]] | None:
    """Tables, and the streams of gaps and codes; None where that is not smaller than the numbers."""
    places = np.flatnonzero(bits)
    book, codes = np.unique(bits[places], return_inverse=True)
    if len(book) >= min(2**16, max(2, bits.size // 2)):
        return None
    between = np.diff(places, prepend=-1) - 1
    needed = int(between.max(initial=1)).bit_length()  # wider ones are all alike
    tried = [_symbols(between, codes + 1, width) for width in widths if width <= max(needed, min(widths))]
    gaps, codes, width = min(tried, key=lambda one: _size(one[0]) + _size(one[1]))
    tables = {
        "kind": "coded",
        "index_bits": width,
        "entries": len(gaps),
        "codebook": base64.b64encode(_little(book)).decode(),
        "gaps": _table(gaps),
        "codes": _table(codes),
    }
    streams = [
        b"" if isinstance(tables[key], dict) else pack(symbols, tables[key])
        for key, symbols in (("gaps", gaps), ("codes", codes))
    ]
    size = sum(map(len, streams)) + len(json.dumps(tables, separators=(",", ":")))
    return (tables, streams) if size < bits.nbytes else None


def _symbols(
    between: NDArray[Any], codes: NDArray[Any], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Gaps of so many bits and the codes behind them; what is longer gets zeros in between, of code 0."""
    padding = between >> width
    last = np.cumsum(padding + 1) - 1
    count = int(last[-1]) + 1 if len(last) else 0
    gaps, padded = np.full(count, (1 << width) - 1, np.int64), np.zeros(count, np.int64)
    gaps[last], padded[last] = between & ((1 << width) - 1), codes
    return gaps, padded, width


def _size(symbols: NDArray[np.int64]) -> int:
    """Bytes of symbols with their table."""
    counts = np.bincount(symbols).tolist()
    lengths = code_lengths(counts)
    return packed_size(counts, lengths) + 2 * len(lengths)


def _table(symbols: NDArray[np.int64]) -> Any:
    counts = np.bincount(symbols).tolist()
    used = [symbol for symbol, times in enumerate(counts) if times]
    return code_lengths(counts) if len(used) > 1 else {"only": used[0] if used else 0}


def _bits(tensor: Tensor) -> NDArray[Any]:
    """The numbers of a tensor as integers of the same bits, flat."""
    flat = tensor.detach().cpu().contiguous().flatten()
    if flat.dtype == torch.bool:
        flat = flat.to(torch.int8)
    try:
        return flat.view(torch.from_numpy(np.empty(0, _INTEGERS[flat.element_size()])).dtype).numpy()
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"numbers of the type {_name(tensor.dtype)} cannot be written; export to safetensors"
        ) from error


def _little(bits: NDArray[Any]) -> bytes:
    return bits.astype(bits.dtype.newbyteorder("<"), copy=False).tobytes()


def _halves(tensor: Tensor) -> bool:
    """Whether half of the bits hold a tensor's numbers, none of them beyond their range."""
    wide = tensor.dtype in (torch.float32, torch.float64)
    return wide and bool((tensor.half().isfinite() == tensor.isfinite()).all())


def _same(written: Mapping[str, Tensor], read: Mapping[str, Tensor], halved: list[str]) -> None:
    for name, tensor in written.items():
        expected = tensor.half().to(tensor.dtype) if name in halved else tensor
        if not np.array_equal(_bits(expected), _bits(read[name])):
            raise ModelError(f"{name} is not read back as it was written. Nothing was kept; export elsewhere")


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
