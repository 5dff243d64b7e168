from __future__ import annotations

import numpy as np
import pytest

from tutelage.export.huffman import code_lengths, pack, packed_size
from tutelage.export.read_deep_compression import _unpacked


def test_worked_out_by_hand():
    """Counts 5, 2, 1, 1: codes 0, 10, 110, 111."""
    assert code_lengths([5, 2, 1, 1]) == [1, 2, 3, 3]
    assert pack(np.array([3, 0, 1, 2]), [1, 2, 3, 3]) == bytes([0b11101011, 0b00000000])


@pytest.mark.parametrize(("counts", "lengths"), [([], []), ([0, 7], [0, 0]), ([3, 0, 9], [1, 0, 1])])
def test_few_symbols(counts, lengths):
    assert code_lengths(counts) == lengths


@pytest.mark.parametrize("kind", ["even", "skewed", "long"])
def test_symbols_come_back(kind: str):
    random = np.random.default_rng(0)
    symbols = {
        "even": random.integers(0, 33, 5000),
        "skewed": np.minimum(random.geometric(0.4, 5000), 300),
        "long": np.repeat(np.arange(20), [1, 1, *np.cumprod(np.full(18, 1.7)).astype(int)]),
    }[kind]
    counts = np.bincount(symbols).tolist()
    lengths = code_lengths(counts)
    packed = pack(symbols, lengths)
    assert len(packed) == packed_size(counts, lengths)
    assert np.array_equal(_unpacked(packed, lengths, len(symbols), "it"), symbols)
    share = np.array(counts)[np.array(counts) > 0] / len(symbols)
    entropy = -(share * np.log2(share)).sum()
    assert entropy <= 8 * len(packed) / len(symbols) <= entropy + 1.01


def test_more_bits_than_are_looked_at_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(_unpacked.__globals__, "_BLOCK", 64)
    symbols = np.random.default_rng(1).integers(0, 9, 999) ** 2
    lengths = code_lengths(np.bincount(symbols).tolist())
    assert np.array_equal(_unpacked(pack(symbols, lengths), lengths, 999, "it"), symbols)
