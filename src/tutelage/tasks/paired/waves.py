"""Columns of sound, as tensors of samples."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import torch
from scipy.io import wavfile
from torch import Tensor

from tutelage.errors import DataError

__all__ = ["samples_of", "sounds_of"]

_SCALE = 32768


def samples_of(value: Any, column: str) -> tuple[int, Tensor]:
    """A recording as its rate in hertz and its samples in 16 bits, shape [samples]; channels are averaged.

    Args:
        value: WAV as bytes, or what a table of the hub holds of a file: a mapping with `bytes`, or `path`.
        column: where it stands, for messages.

    Raises:
        DataError: it is no WAV.
    """
    held = value.get("bytes") or value.get("path") if isinstance(value, dict) else value
    try:
        rate, array = wavfile.read(io.BytesIO(held) if isinstance(held, bytes) else str(held))
    except (OSError, ValueError, struct.error) as error:
        raise DataError(
            f"the column {column!r} holds a {type(value).__name__} that is no WAV recording ({error}); name "
            "another with task.sound=<column>, or write the recordings as WAV"
        ) from error
    wave = _whole_scale(array)
    return int(rate), torch.from_numpy(np.array(wave if wave.ndim == 1 else wave.mean(1), dtype=np.int16))


def sounds_of(table: Any, column: str, seconds: float) -> tuple[int, Tensor]:
    """A column of recordings, cut or filled up with silence at their ends.

    Args:
        table: with the column.
        column: of recordings, all of one rate.
        seconds: the length of each.

    Returns:
        the rate in hertz, and samples in 16 bits, shape [N, rate · seconds].

    Raises:
        DataError: recordings of several rates, or what is no recording.
    """
    read = [samples_of(value, column) for value in _undecoded(table, column)]
    rates = sorted({rate for rate, _ in read})
    if len(rates) > 1:
        raise DataError(
            f"the column {column!r} has recordings of {rates} hertz; bring them to one rate first"
        )
    length = round(rates[0] * seconds)
    if length < 1:
        raise DataError(f"task.seconds came as {seconds}; expected a time of at least one sample")
    sounds = torch.zeros(len(read), length, dtype=torch.int16)
    for number, (_, wave) in enumerate(read):
        sounds[number, : len(wave)] = wave[:length]
    return rates[0], sounds


def _undecoded(table: Any, column: str) -> Any:
    """The column as bytes, where the table would decode it with a package that need not be there."""
    import datasets

    if isinstance(table.features[column], datasets.Audio):
        table = table.cast_column(column, datasets.Audio(decode=False))
    return table[column]


def _whole_scale(array: np.ndarray) -> np.ndarray:
    """Samples of any width as 16 bits."""
    if array.dtype == np.int16:
        return array
    if array.dtype == np.uint8:
        return ((array.astype(np.int16) - 128) * 256).astype(np.int16)
    if array.dtype == np.int32:
        return (array >> 16).astype(np.int16)
    return (array.clip(-1, 1) * (_SCALE - 1)).astype(np.int16)
