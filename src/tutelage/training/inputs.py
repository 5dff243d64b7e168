"""Inputs that are not numbers, where a network cannot read them: told by the number of the example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from tutelage.capture import capture
from tutelage.data import Source, gaps_of, reading
from tutelage.data.batches import tensors_in
from tutelage.errors import DataError
from tutelage.modes import evaluating
from tutelage.types import Batch

__all__ = ["check_inputs", "explain"]

_AT_ONCE = 256
_MOST = 100_000  # that are read one by one to find what broke a training off


def check_inputs(
    network: nn.Module,
    source: Source,
    reads: Sequence[str] | None,
    *,
    where: str,
    device: torch.device,
    name: str = "the student",
    everything: bool = False,
) -> None:
    """Refuse inputs that are NaN or infinite where the network answers NaN to them.

    All of the data is looked at where it lies in memory, some examples spread over it elsewhere.

    Args:
        network: who reads them, on the device, in eval mode.
        source: whose inputs.
        reads: the inputs that it reads, where these are a mapping.
        where: what to call the data in messages.
        device: where the network is.
        name: what to call the network in messages.
        everything: read all examples, though they must be read one by one.

    Raises:
        DataError: names the first such example.
    """
    told = gaps_of(source)
    numbers = _spread(len(source), everything) if told is None else told.tolist()
    for start in range(0, len(numbers), _AT_ONCE):
        few = numbers[start : start + _AT_ONCE]
        batch = source.batch(few)
        found = _places(reading(batch, reads))
        if found is None:
            continue
        first = int(found.any(1).nonzero()[0])
        answer = capture(network, reading(source.batch([few[first]]), reads).to(device).inputs)
        if answer.logits is None or bool(answer.logits.isfinite().all()):
            continue  # a network that reads gaps
        count, of = (int(found.any(1).sum()), len(few)) if told is None else (len(numbers), len(source))
        places = ", ".join(map(str, found[first].nonzero().flatten()[:5].tolist()))
        raise DataError(
            f"{where} has inputs that are NaN or infinite, in {count} of {of} examples that were looked at "
            f"(the first is number {int(batch.ids[first])}; its values {places}), and {name} answers NaN to "
            "them. Fill the gaps, for instance with sklearn.impute.SimpleImputer, or leave these examples "
            "out"
        )


def _spread(examples: int, everything: bool) -> list[int]:
    """Numbers over the whole, all of them or nearly so if that is asked for."""
    most = _MOST if everything else _AT_ONCE
    return list(range(0, examples, max(1, examples // most)))[:most]


def explain(
    networks: Mapping[str, Callable[[], nn.Module]],
    source: Source,
    reads: Mapping[str, Sequence[str]],
    device: torch.device,
) -> None:
    """Name the example, once a training broke off, if its inputs were not numbers; all of the data is read.

    Args:
        networks: what was trained, by name.
        source: what it was trained on.
        reads: the inputs that networks read, by their names.
        device: where to ask.

    Raises:
        DataError: as for `check_inputs`.
    """
    for name, build in networks.items():
        network = build().to(device)
        with evaluating(network), torch.no_grad():
            check_inputs(
                network,
                source,
                reads.get(name),
                where="the training data",
                device=device,
                name=f"the {name}",
                everything=True,
            )


def _places(batch: Batch) -> torch.Tensor | None:
    """Which values of which examples are none, [N, values] of the first input with such; None without any."""
    for tensor in tensors_in(batch.inputs):
        if tensor.is_floating_point():
            broken = ~tensor.isfinite().reshape(len(tensor), -1)
            if bool(broken.any()):
                return broken
    return None
