"""One vector for a text, of those of its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.errors import CheckpointError, UnknownName
from tutelage.tasks.transformers_library import optional
from tutelage.trust import inside, parse_json

__all__ = ["POOLINGS", "Pooling", "files_of_pooling", "pooling_at"]

POOLINGS = ("mean", "cls")
"""The mean over the tokens of a text, or its first token."""

_KEYS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""What Sentence Transformers writes of a pooling, and what it means; since version 5 as `pooling_mode`."""

_KINDS = ("Transformer", "Pooling", "Normalize")


class Pooling(nn.Module):
    """The embedding of a text: the mean over the tokens that count, or the first token's.

    Args:
        mode: "mean" or "cls".
        normalise: whether embeddings are brought to length 1.

    Shapes: hidden states [N, length, hidden], mask [N, length], 0 where a text is filled up -> [N, hidden].

    Raises:
        UnknownName: another mode.

    Source: Reimers & Gurevych, Sentence-BERT, 2019, section 3.

    Example:
        >>> states = torch.tensor([[[3.0, 0.0], [3.0, 8.0], [9.0, 9.0]]])
        >>> Pooling(normalise=True)(states, torch.tensor([[1, 1, 0]]))
        tensor([[0.6000, 0.8000]])
    """

    def __init__(self, mode: str = "mean", *, normalise: bool = False) -> None:
        super().__init__()
        if mode not in POOLINGS:
            raise UnknownName("pooling", mode, POOLINGS)
        self.mode, self.normalise = mode, normalise

    def forward(
        self, hidden: Float[Tensor, "n length width"], mask: Int[Tensor, "n length"] | None = None
    ) -> Float[Tensor, "n width"]:
        """The embedding of each text."""
        if self.mode == "cls":
            found = hidden[:, 0]
        else:
            counts = torch.ones_like(hidden[..., :1]) if mask is None else mask.unsqueeze(-1).to(hidden.dtype)
            found = (hidden * counts).sum(1) / counts.sum(1).clamp(min=1)
        return F.normalize(found, dim=-1) if self.normalise else found

    def extra_repr(self) -> str:
        """Say the settings."""
        return f"{self.mode!r}" + (", normalise=True" if self.normalise else "")


def pooling_at(path: str) -> tuple[str, bool] | None:
    """How the encoder of a folder or of the hub pools, by what Sentence Transformers wrote beside it.

    Args:
        path: a folder, or a name on the hub.

    Returns:
        the mode, and whether embeddings are brought to length 1; None where nothing is said.

    Raises:
        CheckpointError: modules or a pooling that are not known here.

    Example:
        >>> pooling_at(".") is None
        True
    """
    modules = _read(path, "modules.json")
    if modules is None:
        return None
    if not isinstance(modules, list) or not all(isinstance(one, Mapping) for one in modules):
        raise CheckpointError(f"modules.json of {path!r} is no list of modules, as Sentence Transformers has")
    kinds = [str(one.get("type", "")).rpartition(".")[2] for one in modules]
    if kinds not in (list(_KINDS[:2]), list(_KINDS)):
        raise CheckpointError(
            f"the encoder at {path!r} is made of {', '.join(kinds) or 'nothing'}; expected Transformer and "
            "Pooling, and perhaps Normalize after them. Take an encoder without further layers"
        )
    folder = inside(modules[1].get("path"), f"the pooling of {path!r}", CheckpointError)
    return _mode(_read(path, f"{folder}/config.json"), path), kinds[-1] == "Normalize"


def files_of_pooling(pooling: Pooling, *, width: int, length: int | None) -> dict[str, Any]:
    """What Sentence Transformers reads beside an encoder, as JSON, by the name of the file.

    Args:
        pooling: of the encoder.
        width: numbers of an embedding.
        length: the most tokens of a text.
    """
    kinds = _KINDS if pooling.normalise else _KINDS[:2]
    paths = ("", "1_Pooling", "2_Normalize")
    modules = [
        {"idx": n, "name": str(n), "path": paths[n], "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    said = {key: mode == pooling.mode for key, mode in list(_KEYS.items())[:4]}
    found: dict[str, Any] = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": width, **said},
    }
    if length is not None:
        found["sentence_bert_config.json"] = {"max_seq_length": length, "do_lower_case": False}
    return found


def _mode(config: Any, path: str) -> str:
    """The mode that a configuration of a pooling names, in the old way or the new."""
    said = config if isinstance(config, Mapping) else {}
    named = said.get("pooling_mode", [mode for key, mode in _KEYS.items() if said.get(key)])
    modes = [named] if isinstance(named, str) else list(named)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise CheckpointError(
            f"the encoder at {path!r} pools by {' and '.join(map(str, modes)) or 'nothing that is said'}; "
            f"expected one of {', '.join(POOLINGS)}. Say another with pooling=, or take another encoder"
        )
    return str(modes[0])


def _read(path: str, name: str) -> Any:
    """A file of JSON beside an encoder; None where there is none."""
    local = Path(path).expanduser()
    if local.is_dir():
        file = local / name
        held = file if file.is_file() else None
    else:
        library = optional("transformers", "an encoder of sentences", extra="text")
        found = library.utils.cached_file(path, name, _raise_exceptions_for_missing_entries=False)
        held = None if found is None else Path(found)
    if held is None:
        return None
    try:
        return parse_json(held.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {name} of the encoder at {path!r}: {error}") from error
