"""The Transformers library, and what goes wrong in it in our words."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from tutelage.errors import CheckpointError, MissingExtra

__all__ = ["optional", "place_of", "read"]


def optional(package: str, purpose: str, *, extra: str = "language") -> Any:
    """A package of an extra.

    Args:
        package: its name.
        purpose: what it is needed for.
        extra: which installs it.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(package, extra=extra, purpose=purpose) from error


def place_of(path: str, gguf_file: str | None = None) -> tuple[str, dict[str, str]]:
    """A folder or a name on the hub, and the GGUF file in it if that is what `path` means.

    Raises:
        CheckpointError: there is nothing at a local path.

    Example:
        >>> place_of("org/model")
        ('org/model', {})
    """
    local = Path(path).expanduser()
    if not local.exists() and (path.startswith(("/", ".", "~")) or local.suffix == ".gguf"):
        raise CheckpointError(f"there is nothing at {path}; expected a folder, a GGUF file, or a hub name")
    if local.suffix == ".gguf":
        local, gguf_file = local.parent, local.name
    if gguf_file is not None:
        optional("gguf", "a GGUF file")
    where = str(local) if local.exists() else path
    return where, {} if gguf_file is None else {"gguf_file": gguf_file}


def read(what: str, path: str, load: Callable[..., Any], **keywords: Any) -> Any:
    """Call a `from_pretrained` of Transformers, without running code of the checkpoint.

    Args:
        what: it reads, for messages.
        path: where.
        load: the method.
        keywords: its own.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return load(path, trust_remote_code=False, **keywords)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"cannot read {what} at {path!r}: {first}. Expected a folder that Transformers wrote, a GGUF "
            "file, or a name on the hub"
        ) from error
