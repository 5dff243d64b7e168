"""What the parts of a decoder are worth, by what they answer on some examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.compression.changer import Calibration
from tutelage.compression.decoder import Decoder
from tutelage.errors import ModelError
from tutelage.modes import evaluating
from tutelage.types import Batch, map_tensors

__all__ = ["Scores", "loss_on", "parts_of", "scores_of"]

_AT_ONCE = 8  # examples
_TINY = 1e-12


@dataclass(frozen=True)
class Scores:
    """What each part is worth.

    Args:
        layers: of each block, shape [layers].
        hidden: of each channel, shape [hidden]; empty where these are not cut.
        groups: of each group of heads, shape [layers, groups].
        mlp: of each unit, shape [layers, units].
    """

    layers: Float[Tensor, " layers"]
    hidden: Float[Tensor, " hidden"]
    groups: Float[Tensor, "layers groups"]
    mlp: Float[Tensor, "layers units"]


def parts_of(calibration: Calibration, *, count: int) -> list[Batch]:
    """The first examples, a few at a time.

    Raises:
        ModelError: there are none.
    """
    found: list[Batch] = []
    left = count
    for batch in calibration.batches():
        stop = min(len(batch), left)
        found += [_some(batch, at, min(at + _AT_ONCE, stop)) for at in range(0, stop, _AT_ONCE)]
        left -= len(batch)
        if left <= 0:
            break
    if not found:
        raise ModelError(
            "prune_transformer was given no calibration examples; at least one batch is expected"
        )
    return found


def scores_of(decoder: Decoder, calibration: Calibration, parts: list[Batch], *, blocks: str) -> Scores:
    """Look at all parts in one forward pass of the examples.

    Args:
        decoder: in eval mode meanwhile.
        calibration: how it is asked, and its loss.
        parts: the examples.
        blocks: `cosine`, by how much a block turns what passes through it; or `loss`, by how much the loss
            grows without it, in a pass of the examples for each block.

    Raises:
        ModelError: answers that are not finite; or a loss is needed, and there are no labels.
    """
    network = decoder.network
    with evaluating(network), torch.no_grad(), ExitStack() as stack:
        seen = _Seen(decoder, stack)
        for batch in parts:
            calibration.ask(network, batch)
        found = seen.scores()
    if not all(bool(each.isfinite().all()) for each in vars(found).values()):
        raise ModelError("the network answers with NaN or infinite numbers; look at its weights")
    if blocks == "loss":
        found = replace(found, layers=_by_loss(decoder, calibration, parts))
    return found


def loss_on(network: nn.Module, calibration: Calibration, parts: list[Batch]) -> float:
    """The loss of a student that nobody teaches, the mean over what counts.

    Raises:
        ModelError: there are no labels.
    """
    if calibration.loss is None:
        raise ModelError(
            "prune_transformer with `blocks: loss` needs a loss, and these examples have no labels; choose "
            "`blocks: cosine`"
        )
    with evaluating(network), torch.no_grad():
        losses = [float(calibration.loss(network, batch)) * batch.count for batch in parts]
    return sum(losses) / max(1, sum(batch.count for batch in parts))


class _Seen:
    """Sums over tokens, gathered by hooks for as long as a stack is open."""

    def __init__(self, decoder: Decoder, stack: ExitStack) -> None:
        self.decoder = decoder
        self.sums: dict[tuple[str, int], Tensor] = {}
        self.counts: dict[tuple[str, int], int] = {}
        for number, block in enumerate(decoder.blocks):
            handle = block.register_forward_hook(self._turned(number), with_kwargs=True)
            stack.callback(handle.remove)
            for what, read in (("groups", self._heads), ("mlp", _sizes)):
                layer = decoder.reader(number, "heads" if what == "groups" else what)
                handle = layer.register_forward_pre_hook(self._read(what, number, read))
                stack.callback(handle.remove)
        for number, norm in enumerate(decoder.norms):
            stack.callback(norm.register_forward_hook(self._said(number)).remove)

    def scores(self) -> Scores:
        """The mean over tokens; of channels the sum over norms."""
        mean = {key: total / self.counts[key] for key, total in self.sums.items()}
        layers = range(self.decoder.config.num_hidden_layers)
        hidden = [mean["hidden", number] for number in range(len(self.decoder.norms))]
        rows = {what: torch.stack([mean[what, at] for at in layers]) for what in ("layers", "groups", "mlp")}
        return Scores(
            layers=rows["layers"],
            hidden=torch.stack(hidden).sum(0) if hidden else torch.empty(0),
            groups=rows["groups"],
            mlp=rows["mlp"],
        )

    def _note(self, what: str, number: int, value: Tensor) -> None:
        """Add [tokens, parts], or [tokens]."""
        key, rows = (what, number), value.double().cpu()
        self.sums[key] = self.sums.get(key, 0) + rows.sum(0)
        self.counts[key] = self.counts.get(key, 0) + len(rows)

    def _turned(self, number: int) -> Any:
        def look(_: nn.Module, given: Any, named: dict[str, Any], answer: Any) -> None:
            came, went = _hidden_in(given, named).flatten(0, 1), _first(answer).flatten(0, 1)
            turned = nn.functional.cosine_similarity(came.float(), went.float(), dim=-1, eps=_TINY)
            self._note("layers", number, 1 - turned)

        return look

    def _read(self, what: str, number: int, read: Callable[[Tensor], Tensor]) -> Any:
        def look(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            self._note(what, number, read(given[0].flatten(0, 1).float()))

        return look

    def _said(self, number: int) -> Any:
        def look(_: nn.Module, __: Any, answer: Tensor) -> None:
            self._note("hidden", number, _sizes(answer.flatten(0, 1).float()))

        return look

    def _heads(self, rows: Float[Tensor, "tokens channels"]) -> Float[Tensor, "tokens groups"]:
        """The norm of each head's answer, the mean over a group."""
        heads = rows.view(len(rows), self.decoder.groups, -1, self.decoder.head_width)
        found: Tensor = torch.linalg.vector_norm(heads, dim=-1).mean(-1)
        return found


def _sizes(rows: Tensor) -> Tensor:
    return rows.abs()


def _by_loss(decoder: Decoder, calibration: Calibration, parts: list[Batch]) -> Tensor:
    """How much the loss grows when a block lets everything pass."""
    whole = loss_on(decoder.network, calibration, parts)
    found = []
    for block in decoder.blocks:
        with _passed_by(block):
            found.append(loss_on(decoder.network, calibration, parts) - whole)
    return torch.tensor(found, dtype=torch.float64)


@contextmanager
def _passed_by(block: nn.Module) -> Iterator[None]:
    """Inside, a block answers with what comes in."""

    def answer(_: nn.Module, given: Any, named: dict[str, Any], said: Any) -> Any:
        came = _hidden_in(given, named)
        return (came, *said[1:]) if isinstance(said, tuple) else came

    handle = block.register_forward_hook(answer, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _hidden_in(given: Any, named: dict[str, Any]) -> Tensor:
    found: Tensor = given[0] if given else named["hidden_states"]
    return found


def _first(answer: Any) -> Tensor:
    found: Tensor = answer[0] if isinstance(answer, tuple) else answer
    return found


def _some(batch: Batch, start: int, stop: int) -> Batch:
    def cut(tensor: Tensor) -> Tensor:
        return tensor[start:stop]

    return Batch(
        map_tensors(batch.inputs, cut),
        batch.ids[start:stop],
        map_tensors(batch.labels, cut),
        None if batch.mask is None else batch.mask[start:stop],
    )
