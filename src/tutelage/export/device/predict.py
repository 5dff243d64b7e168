"""Ask the student of this folder.

    python predict.py image.png other.jpg      images
    python predict.py rows.csv                 rows, by the names of their columns
    python predict.py inputs.npz               arrays, by the names of the network's inputs

Needs numpy and onnxruntime, and Pillow for images. One line of JSON comes for each example.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent

Arrays = dict[str, Any]
"""The network's inputs by name, the first axis counting examples."""


class Student:
    """The network of a bundle, with what is done to an example before it and what its answer means.

    Args:
        folder: the bundle.
        which: one of its networks, such as "float32"; the first one by default.
        threads: of the runtime.
    """

    def __init__(self, folder: Path = HERE, *, which: str | None = None, threads: int = 1) -> None:
        import onnxruntime

        self.about = json.loads((folder / "bundle.json").read_text("utf-8"))
        held = self.about["networks"]
        self.which = which or next(iter(held))
        if self.which not in held:
            raise SystemExit(f"there is no network {self.which!r} in {folder}; it has {', '.join(held)}")
        self.path = folder / held[self.which]["file"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(self.path), options, providers=["CPUExecutionProvider"]
        )
        self.names = [given.name for given in self._session.get_inputs()]

    def logits(self, inputs: Arrays) -> Any:
        """Raw answers, the first axis counting examples."""
        return self._session.run(None, {name: _fed(inputs[name]) for name in self.names})[0]

    def read(self, path: Path) -> Arrays:
        """The inputs that a file holds: an image, rows as CSV, or arrays as NPZ."""
        if path.suffix.lower() == ".npz":
            return read_arrays(path)
        kind = self.about["preparation"].get("kind")
        if path.suffix.lower() == ".csv":
            if kind not in ("columns", "rows"):
                raise SystemExit(f"{path}: this student reads no rows of a table; give {_wanted(kind)}")
            with path.open(encoding="utf-8", newline="") as file:
                return self.rows(list(csv.DictReader(file)))
        if kind != "image":
            raise SystemExit(f"{path}: this student reads no images; give {_wanted(kind)}")
        return self.images([path])

    def images(self, paths: Sequence[Path]) -> Arrays:
        """Images, brought to the student's channels, size and scale."""
        how = self.about["preparation"]
        return {self.names[0]: np.stack([_image(path, how) for path in paths])}

    def rows(self, rows: Sequence[Mapping[str, str]]) -> Arrays:
        """Rows of a table, each a mapping from the name of a column to its text."""
        how = self.about["preparation"]
        wanted = self.names if how["kind"] == "columns" else how["features"]
        missing = [name for name in wanted if not rows or name not in rows[0]]
        if missing:
            raise SystemExit(
                f"the rows lack the column {missing[0]!r}; this student reads {', '.join(wanted)}"
            )
        if how["kind"] == "columns":
            return {name: _column([row[name] for row in rows], how["columns"][name]) for name in wanted}
        table = np.array([[float(row[name]) for name in wanted] for row in rows], dtype=np.float32)
        scaled = (table - np.float32(how["mean"])) / np.float32(how["scale"])
        return {self.names[0]: scaled.astype(np.float32)}

    def said(self, logits: Any) -> Iterator[dict[str, Any]]:
        """What each answer means: a class and its share, or the numbers as they are."""
        classes = self.about["classes"]
        for answer in logits:
            if answer.ndim == 1 and self.about["answer"] == "class":
                shares = np.exp(answer.astype(np.float64) - answer.max())
                best = int(answer.argmax())
                yield {"class": classes[best], "share": float(shares[best] / shares.sum())}
            elif answer.ndim == 2 and self.about["answer"] == "token":
                yield {"next": int(answer[-1].argmax())}
            else:
                yield {"values": answer.tolist()}


def read_arrays(path: Path) -> Arrays:
    """Arrays by name; nothing of the file is run."""
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def _fed(values: Any) -> Any:
    """Words as the runtime takes them; everything else as it is."""
    return values.astype(object) if values.dtype.kind == "U" else values


def _wanted(kind: str | None) -> str:
    known = {"image": "images, or an .npz of arrays", "columns": "a .csv, or an .npz of arrays"}
    return known.get("columns" if kind == "rows" else str(kind), "an .npz of arrays")


def _column(texts: Sequence[str], kind: str) -> Any:
    if kind == "word":
        return np.array(texts, dtype=object)[:, None]
    if kind == "date":
        days = [np.datetime64(text, "s").astype(np.float64) / 86400 if text else math.nan for text in texts]
        return np.array(days, dtype=np.float32)[:, None]
    known = {"true": 1.0, "false": 0.0}
    numbers = [known.get(text.strip().lower()) if text.strip() else math.nan for text in texts]
    read = [float(text) if held is None else held for text, held in zip(texts, numbers, strict=True)]
    return np.array(read, dtype=np.float32)[:, None]


def _image(path: Path, how: Mapping[str, Any]) -> Any:
    from PIL import Image

    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert(modes[how["channels"]]), dtype=np.float32)
    pixels = (pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)).astype(np.float32)
    size = (how["height"], how["width"])
    if pixels.shape[1:] != size:
        down, across = (_weights(old, new) for old, new in zip(pixels.shape[1:], size, strict=True))
        pixels = np.rint(down @ pixels @ across.T).astype(np.float32)
    mean, std = (np.array(how[name], dtype=np.float32)[:, None, None] for name in ("mean", "std"))
    return (pixels * (1 / (np.float32(255) * std)) - mean / std).astype(np.float32)


def _weights(old: int, new: int) -> Any:
    """What each new pixel is made of: averaged where a side shrinks, interpolated where it grows."""
    weights = np.zeros((new, old), dtype=np.float32)
    for place in range(new):
        if new < old:
            first, last = place * old // new, -(-(place + 1) * old // new)
            weights[place, first:last] = 1 / (last - first)
        else:
            at = max(0.0, (place + 0.5) * old / new - 0.5)
            first = min(int(at), old - 1)
            weights[place, first] += 1 - (at - first)
            weights[place, min(first + 1, old - 1)] += at - first
    return weights


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and answer."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--network", help="which network of the bundle, such as float32")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(words)
    student = Student(which=asked.network, threads=asked.threads)
    for path in asked.files:
        for number, answer in enumerate(student.said(student.logits(student.read(path)))):
            sys.stdout.write(json.dumps({"input": str(path), "number": number, **answer}) + "\n")


if __name__ == "__main__":
    main()
