"""A network of Transformers as its own `from_pretrained` reads it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from tutelage.adapters import has_adapter
from tutelage.errors import OutputError

__all__ = ["hand_over", "write_pretrained"]

_WEIGHTS = "model.safetensors"
_ADAPTER = "adapter_model.safetensors"
_OURS = "student.safetensors"
_WORDS = "tokenizer"


def write_pretrained(network: nn.Module, folder: Path) -> list[str]:
    """Write what `from_pretrained(folder)` reads: configuration, generation settings, weights, tokenizer.

    Weights that are tied are written once. Where the file is the same as `student.safetensors`, it is
    another name of it and takes no room. A network that its configuration alone does not build, such as a
    factorised one, gets its configuration and no weights; a network of anybody else's, nothing. Of one with
    an adapter the adapter alone is written, as PEFT's files. A network's `files_beside`, name -> JSON, are
    written too.

    Args:
        network: whose weights lie in the folder as `student.safetensors`.
        folder: with the tokenizer in `tokenizer`, if there is one.

    Returns:
        the names of the files.

    Raises:
        OutputError: the folder cannot be written to.
    """
    kind = _kind_of(network)
    if kind is None:
        return []
    plain: Any = network
    further = getattr(plain, "files_beside", {})
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part.") as beside, _as(plain, kind):
            adapted = has_adapter(plain)
            if adapted or _is_built_by_config(plain, kind):
                _save(plain, Path(beside))
            if not adapted:  # beside a configuration its own weights would be looked for
                plain.config.architectures = [kind.__name__]
                said = plain.config.to_json_string(use_diff=False)
                Path(beside, "config.json").write_text(said, "utf-8")
            names = sorted(file.name for file in Path(beside).iterdir())
            for name, held in further.items():
                Path(beside, name).parent.mkdir(exist_ok=True)
                Path(beside, name).write_text(json.dumps(held, indent=2), "utf-8")
            for name in (names := sorted({*names, *further})):
                (folder / name).parent.mkdir(exist_ok=True)
                os.replace(Path(beside, name), folder / name)
    except OSError as error:
        raise OutputError(f"cannot write the network of Transformers into {folder}: {error}") from error
    _share_weights(folder)
    words = sorted(file.name for file in (folder / _WORDS).glob("*") if file.is_file())
    for name in words:
        _link(folder / _WORDS / name, folder / name)
    return [*names, *words]


def hand_over(folder: Path, names: list[str]) -> None:
    """The same files alone in `student`, as one would put them on the hub; they take no room of their own.

    Args:
        folder: of the run.
        names: what `write_pretrained` wrote there.
    """
    if {_WEIGHTS, _ADAPTER} & {*names} or any(name.endswith(".index.json") for name in names):
        (folder / "student").mkdir(exist_ok=True)
        for name in names:
            (folder / "student" / name).parent.mkdir(exist_ok=True)
            _link(folder / name, folder / "student" / name)


def _kind_of(network: nn.Module) -> Any:
    """The class of Transformers that a network is, or that was given another forward; None for no such."""
    kinds = type(network).__mro__
    if not any(kind.__name__ == "PreTrainedModel" for kind in kinds):
        return None
    return next(kind for kind in kinds if kind.__module__.startswith("transformers."))


@contextlib.contextmanager
def _as(network: Any, kind: Any) -> Iterator[None]:
    before = type(network)
    network.__class__ = kind
    try:
        yield
    finally:
        network.__class__ = before


def _is_built_by_config(network: Any, kind: Any) -> bool:
    """Whether its configuration alone gives a network with the same names and shapes of weights."""
    try:
        with torch.device("meta"):
            twin = kind(network.config)
    except Exception:  # whatever a class raises for a configuration that was changed
        return False
    return _shapes(twin) == _shapes(network)


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    state = network.state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if isinstance(value, Tensor)}


def _save(network: Any, folder: Path) -> None:
    """The library's own files; with plain generation settings where it refuses those that came."""
    with _silent():
        try:
            network.save_pretrained(folder)
        except ValueError:
            own = network.generation_config
            kept = {name: getattr(own, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
            network.generation_config = type(own)(**kept)
            network.save_pretrained(folder)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """No progress bars of the library's."""
    said: Any = importlib.import_module("transformers.utils.logging")
    shown = said.is_progress_bar_enabled()
    said.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            said.enable_progress_bar()


def _share_weights(folder: Path) -> None:
    """One file under two names, where both hold the same tensors."""
    ours, theirs = folder / _OURS, folder / _WEIGHTS
    if ours.is_file() and theirs.is_file() and _tensors(ours) == _tensors(theirs):
        _link(ours, theirs)


def _tensors(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    with safe_open(file, "pt") as held:
        parts = {name: held.get_slice(name) for name in held.keys()}  # noqa: SIM118 (no mapping)
    return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}


def _link(source: Path, target: Path) -> None:
    """Another name of a file; a copy where the file system knows none."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
