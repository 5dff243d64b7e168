"""Tiny recordings and images on disk, for tests."""

from __future__ import annotations

import io
from pathlib import Path

import datasets
import numpy as np
from PIL import Image
from scipy.io import wavfile

RATE = 1000
CLASSES = 3


def wav(array: np.ndarray, rate: int = RATE) -> bytes:
    """A recording as the bytes of a file."""
    held = io.BytesIO()
    wavfile.write(held, rate, array)
    return held.getvalue()


def tone(kind: int, number: int, rate: int = RATE) -> bytes:
    """A tone whose pitch is its class; each a bit longer than the one before."""
    own = np.random.RandomState(number)
    length = 180 + number % 40
    wave = np.sin(2 * np.pi * (60 + 120 * kind) * np.arange(length) / rate) + own.normal(0, 0.1, length)
    return wav((8000 * wave).astype(np.int16), rate)


def png(kind: int, number: int) -> Image.Image:
    """A grey image whose class is the brightness of its left half, and its number that of a pixel."""
    pixels = np.zeros((6, 6), dtype=np.uint8)
    pixels[:, :3], pixels[0, 5] = 80 * (kind + 1), number
    return Image.fromarray(pixels)


def write_recordings(folder: Path, counts: dict[str, int], rate: int = RATE) -> str:
    """Splits of so many recordings, all classes by turns."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in counts.items():
        rows = [{"bytes": tone(n % CLASSES, n, rate), "path": None} for n in range(count)]
        labels = [n % CLASSES for n in range(count)]
        table = datasets.Dataset.from_dict({"audio": rows, "label": labels})
        table.to_parquet(folder / f"{split}-0.parquet")
    return str(folder)


def write_images(folder: Path, counts: dict[str, int]) -> str:
    """Splits of so many images, all classes by turns."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in counts.items():
        rows = {
            "image": [png(n % CLASSES, n) for n in range(count)],
            "label": [n % CLASSES for n in range(count)],
        }
        table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
        table.to_parquet(folder / f"{split}-0.parquet")
    return str(folder)
