"""What labels at positions are of: told from the networks that read them, or refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tutelage.data import Cast, ChangedLabels, Convention, Drawn, Items, Source, Subset
from tutelage.errors import DataError
from tutelage.types import UNLABELLED, Batch

__all__ = ["convention_of", "labels_follow", "read_convention"]

_UNMOVED = ("XLNetLMHeadModel", "XLMWithLMHeadModel", "FlaubertWithLMHeadModel")  # causal, and move no labels
_LOOKED_AT = 64


def convention_of(network: nn.Module) -> Convention | None:
    """How a network of Transformers reads labels of positions; None of any other network.

    Args:
        network: as it is, or within the wrappers of PEFT, of torch's compiler and its data parallel ones.

    Example:
        >>> convention_of(nn.Linear(2, 2))
    """
    library: Any = sys.modules.get("transformers")
    kinds = type(_inside(network)).__mro__
    if library is None or not any(kind.__name__ == "PreTrainedModel" for kind in kinds):
        return None
    names = [kind.__name__ for kind in kinds if kind.__module__.startswith("transformers.")]
    causal = set(library.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    written = any(name.endswith("ForCausalLM") for name in (kinds[0].__name__, *names))
    return "next" if (written or causal & set(names)) and not set(_UNMOVED) & set(names) else "each"


def read_convention(sources: Mapping[str, Source], *networks: nn.Module) -> Convention | None:
    """Let the splits read their labels as the networks do.

    Args:
        sources: the splits by name, `train` among them; those that collate a user's items are told.
        networks: student and teacher, those that are at hand.

    Returns:
        what labels of positions are of; None where no network says so, or the data is no text.

    Raises:
        DataError: the networks read labels in two ways.
    """
    found = {held for held in map(convention_of, networks) if held is not None}
    if len(found) > 1:
        raise DataError(
            "one network is a causal model of Transformers, which reads labels as the next tokens, and the "
            "other reads them as those of the positions themselves; teach a causal model by a causal one"
        )
    if not found or _tokens(sources["train"].batch([0])) is None:
        return None
    owns = [_own(source) for source in sources.values()]
    if any(own is None for own in owns):
        return None
    (convention,) = found
    for own in owns:
        assert own is not None
        own.convention = convention
    batch = sources["train"].batch([0])
    tokens = _tokens(batch)
    assert tokens is not None
    return convention if isinstance(batch.labels, Tensor) and batch.labels.shape == tokens.shape else None


def labels_follow(source: Source) -> bool:
    """Whether labels of positions are the next tokens already, where no network says what they are of.

    Args:
        source: the training data; a network answers each position of it.

    Raises:
        DataError: rows of tokens with a whole number for each, of which nothing says what it is of.
    """
    own = _own(source)
    if own is not None and own.states_labels():
        return False
    step = max(1, len(source) // _LOOKED_AT)
    follow = False
    for number in range(0, len(source), step):
        batch = source.batch([number])
        tokens, labels = _tokens(batch), batch.labels
        if tokens is None or not isinstance(labels, Tensor) or labels.shape != tokens.shape:
            return False
        if labels.is_floating_point():
            return False
        known = labels != UNLABELLED
        known[:, -1] = False  # what comes after the last token is not in the batch
        if not bool((tokens.roll(-1, 1) == labels)[known].all()):
            raise DataError(
                f"a whole number came for each position of rows of tokens ({list(labels.shape)}), and "
                "neither the network nor the labels say what it is of: the next token, or the position. "
                "For the next token give a mapping whose labels repeat its input_ids, as "
                "DataCollatorForLanguageModeling does; for the position itself give a mapping with a mask "
                "[N, length] beside labels, true where one counts"
            )
        follow = True
    return follow


def _tokens(batch: Batch) -> Tensor | None:
    held = batch.inputs
    tokens = held.get("input_ids") if isinstance(held, Mapping) else held
    whole = isinstance(tokens, Tensor) and tokens.ndim == 2 and not tokens.is_floating_point()
    return tokens if whole else None


def _own(source: Source) -> Items | None:
    """The user's own items within what was put around them."""
    while isinstance(source, Subset | ChangedLabels | Cast | Drawn):
        source = source.source
    return source if isinstance(source, Items) else None


def _inside(network: nn.Module) -> nn.Module:
    """A network within its wrappers."""
    for name in ("module", "_orig_mod"):
        held = getattr(network, name, None)
        if isinstance(held, nn.Module):
            return _inside(held)
    base = getattr(network, "get_base_model", None)
    return base() if callable(base) else network
