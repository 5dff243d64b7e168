"""Second moments of what layers are shown, or answer, over calibration examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.compression.changer import Calibration
from tutelage.errors import DataError, ModelError, first_line
from tutelage.modes import evaluating
from tutelage.types import Batch

__all__ = ["second_moments"]


def second_moments(
    network: nn.Module, layers: Mapping[str, nn.Module], calibration: Calibration, *, examples: int, name: str
) -> dict[str, dict[str, Tensor]]:
    """By path `{"answers": [out, out]}`, without the bias; or `{"inputs": [in, in]}` where that is smaller.

    The moment of answers serves convolutions of any window and embeddings without listing what each position
    sees; that of inputs a linear layer to many units. Sums are in double precision.

    Args:
        network: asked in eval mode, and then as it was.
        layers: linear layers, convolutions and embeddings of the network, by path.
        calibration: examples, and how the network is asked.
        examples: about how many are looked at: batches are taken until there are so many.
        name: of the change, for errors.

    Raises:
        DataError: there are no examples, or what a layer answers is not finite.
        ModelError: the network fails when it is asked.
    """
    sums: dict[str, Tensor] = {}
    sizes = dict.fromkeys(layers, 0)

    def watch(path: str, layer: nn.Module) -> Callable[..., None]:
        def hook(_: nn.Module, came: tuple[Any, ...], answer: Tensor) -> None:
            seen = came[0] if _by_inputs(layer) else _without_bias(layer, answer)
            rows = seen.detach().reshape(-1, seen.shape[-1]).double()
            sums[path] = sums.get(path, 0) + rows.T @ rows
            sizes[path] += len(rows)

        return hook

    with ExitStack() as stack, evaluating(network), torch.no_grad():
        for path, layer in layers.items():
            stack.callback(layer.register_forward_hook(watch(path, layer)).remove)
        for batch in _first(calibration, examples, name):
            try:
                calibration.ask(network, batch)
            except (RuntimeError, IndexError, TypeError) as error:
                raise ModelError(
                    f"{name} asked the {type(network).__name__} about calibration examples, and it failed: "
                    f"{first_line(error)}. Give examples as the network takes them"
                ) from error
    for path, total in sums.items():
        if not total.isfinite().all():
            raise DataError(
                f"with the calibration examples, {path} sees or answers what is not finite; look for NaN "
                "in them"
            )
    return {
        path: {"inputs" if _by_inputs(layers[path]) else "answers": total / sizes[path]}
        for path, total in sums.items()
    }


def _first(calibration: Calibration, examples: int, name: str) -> Iterator[Batch]:
    seen = 0
    for batch in calibration.batches():
        yield batch
        seen += len(batch.ids)
        if seen >= examples:
            return
    if not seen:
        raise DataError(f"{name} was given no calibration examples; one batch is the least")


def _by_inputs(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) and layer.out_features > layer.in_features


def _without_bias(layer: nn.Module, answer: Tensor) -> Tensor:
    """Answers with their channels last, without the bias."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        answer = answer.movedim(-1 - len(layer.kernel_size), -1)
    bias = getattr(layer, "bias", None)
    return answer if bias is None else answer - bias
