"""Huffman codes: lengths from counts, and symbols packed into bits."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import count as counting
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["code_lengths", "pack", "packed_size"]


def code_lengths(counts: Sequence[int]) -> list[int]:
    """The length in bits of each symbol's code: 0 for one that does not occur, and for one that is alone.

    Args:
        counts: how often each symbol occurs.

    Source: Huffman 1952, "A Method for the Construction of Minimum-Redundancy Codes".

    Example:
        >>> code_lengths([8, 1, 1, 0, 2])
        [1, 3, 3, 0, 2]
    """
    order = counting()
    heap = [(times, next(order), [symbol]) for symbol, times in enumerate(counts) if times]
    heapq.heapify(heap)
    lengths = [0] * len(counts)
    while len(heap) > 1:
        (one, _, few), (other, _, more) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in few + more:
            lengths[symbol] += 1
        heapq.heappush(heap, (one + other, next(order), few + more))
    return lengths


def packed_size(counts: Sequence[int], lengths: Sequence[int]) -> int:
    """Bytes of symbols that occur so often, packed."""
    return -(-sum(times * length for times, length in zip(counts, lengths, strict=True)) // 8)


def pack(symbols: NDArray[Any], lengths: Sequence[int]) -> bytes:
    """Symbols as the bits of their canonical codes, the first bit highest, filled up to whole bytes with 0.

    In a canonical code the codes of one length follow one another in the order of the symbols, and shorter
    codes come first, so that lengths alone tell all codes.

    Example:
        >>> pack(np.array([0, 0, 4, 1, 2]), [1, 3, 3, 0, 2]).hex()
        '2dc0'
    """
    codes = np.zeros(len(lengths), np.uint64)
    code, before = 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - before
        codes[symbol] = code
        code, before = code + 1, length
    sizes = np.asarray(lengths, np.int64)[symbols]
    ends = np.cumsum(sizes)
    bits = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    written = codes[symbols]
    for back in range(max(lengths, default=0)):  # the last bit of each code, the one before it, and so on
        long = sizes > back
        bits[ends[long] - 1 - back] = (written[long] >> np.uint64(back)) & np.uint64(1)
    return np.packbits(bits).tobytes()
