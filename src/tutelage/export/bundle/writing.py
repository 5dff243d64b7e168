"""Writing the folder: whole, or not at all."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from torch import nn

from tutelage.errors import OutputError
from tutelage.export.bundle.contents import (
    FORMAT,
    Described,
    Kept,
    about_network,
    inputs_of,
    written_examples,
)
from tutelage.export.checking import Record
from tutelage.export.onnx import onnx, onnx_content
from tutelage.files import replacing_folder, write_json
from tutelage.traced import OnnxNetwork

__all__ = ["bundle"]

_MARK = "bundle.json"
_PROGRAMS = ("predict.py", "measure.py")


def bundle(
    network: nn.Module,
    example: Any,
    path: Path | str,
    *,
    described: Described,
    kept: Kept | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Record:
    """Write a folder that runs wherever numpy and ONNX Runtime do, and check its network.

    It holds `student.onnx`, `bundle.json` (inputs, preparation, classes), `predict.py`, `measure.py`, which
    prints what `tutelage compare` reads, the card as `README.md`, and `requirements.txt`.

    Args:
        network: any module that torch.export can follow.
        example: what it is called with; a frame where there is an `encoding`.
        path: the folder, which must be new.
        described: what is said beside the network.
        kept: test examples to lie in it, as `examples.npz`.
        overwrite: replace a bundle that is there.
        options: `tolerance`, `opset` and `encoding`, as for `tutelage.export.onnx`.

    Returns:
        as for ONNX, `bytes` of the whole folder, and `files`, their names.

    Raises:
        MissingExtra, ModelError: as for ONNX.
        OutputError: something is there already, or cannot be written.
    """
    path, encoding = Path(path), options.get("encoding")
    with _new_folder(path, overwrite=overwrite) as beside:
        said = onnx(network, example, beside / "student.onnx", **options)
        inputs = _inputs(beside / "student.onnx")
        first = "float32" if onnx_content(network) is None else "student"
        networks = {first: about_network(beside / "student.onnx")}
        for name, content in described.more.items():
            other = beside / f"student-{re.sub(r'[^A-Za-z0-9_-]', '_', name)}.onnx"
            other.write_bytes(content)
            networks[name] = about_network(other)
        if kept is not None:
            names = [given["name"] for given in inputs]
            written_examples(beside / "examples.npz", network, kept, names, encoding)
        for name in _PROGRAMS:
            text = resources.files("tutelage.export").joinpath("device", name).read_text("utf-8")
            (beside / name).write_text(text, "utf-8")
        (beside / "README.md").write_text(_card(described, said), "utf-8")
        needed = ["numpy", "onnxruntime"]
        needed += ["pillow"] if described.preparation.get("kind") == "image" else []
        (beside / "requirements.txt").write_text("\n".join(needed) + "\n", "utf-8")
        write_json(beside / _MARK, _about(network, described, inputs, networks))
        files = sorted(file.name for file in beside.iterdir())
        size = sum(file.stat().st_size for file in beside.iterdir())
    return said | {"format": "bundle", "path": str(path), "bytes": size, "files": files}


def _card(described: Described, said: Record) -> str:
    return f"# {described.name}\n" if described.card is None else described.card(said)


def _about(
    network: nn.Module, described: Described, inputs: list[dict[str, Any]], networks: dict[str, Any]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": described.name,
        "inputs": inputs,
        "preparation": dict(described.preparation),
        "answer": described.answer,
        "classes": list(described.classes),
        "metric": described.metric,
        "parameters": _parameters(network),
        "networks": networks,
    }


def _parameters(network: nn.Module) -> int:
    """How many numbers a network learned; of one that is a file those of what it came from."""
    if isinstance(network, OnnxNetwork):
        return network.stands.parameters
    return sum(held.numel() for held in network.parameters())


def _inputs(path: Path) -> list[dict[str, Any]]:
    import onnx as package

    return inputs_of(package.load(path, load_external_data=False))


@contextlib.contextmanager
def _new_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write to, which becomes `path` once the block has ended well."""
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} is there already; choose another folder, or pass overwrite=True to replace it"
        )
    if path.exists() and not (path / _MARK).is_file():
        raise OutputError(f"{path} is there and is no bundle, so that it is not replaced; choose another")
    with replacing_folder(path) as beside:
        yield beside
