"""What a match refuses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.losses import Loss
from tutelage.stages import PAIRINGS, Pairing

__all__ = ["Layers", "check_loss", "check_one_shape"]

Layers = str | Sequence[str] | None


def check_loss(
    loss: Loss, guided: Layers, hint: Layers, stages: Pairing | None, transform: nn.Module | None
) -> None:
    """Refuse what is no loss, and places that do not fit it."""
    if not isinstance(loss, Loss):
        raise ModelError(
            f"a match was given {loss!r}; expected an instance of a tutelage Loss, such as "
            "response.SoftTarget(temperature=4.0)"
        )
    kind = type(loss).__name__
    place = getattr(loss, "place", None)
    if place not in ("logits", "features"):
        came = "no `place`" if place is None else f"the place {place!r}"
        raise ModelError(f'{kind} has {came}; write `place = "logits"` or "features" into its class')
    if stages is not None and stages not in PAIRINGS:
        raise UnknownName("pairing of stages", str(stages), PAIRINGS)
    if stages is not None and (guided is not None or hint is not None or place == "logits"):
        raise ModelError(
            f"{kind}: stages pairs layers by itself, for a loss on features; leave guided, hint out"
        )
    if place == "features" and guided is None and stages is None:
        raise ModelError(
            f"{kind} compares features, and no layer was named; give guided= and hint=, or stages="
        )
    if hint is not None and guided is None:
        raise ModelError(f"the match of {kind} names the hint {hint!r} and no guided layer; give guided=")
    if transform is not None and place != "logits":
        raise ModelError(f"{kind} compares features, and a transform is for logits; leave transform= out")


def check_one_shape(name: str, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> None:
    """Refuse one projector for pairs of several shapes."""
    shapes = {(tuple(ours.shape), tuple(theirs.shape)) for ours, theirs in zip(student, teacher, strict=True)}
    if len(shapes) > 1:
        raise ModelError(
            f"{name} shares one projector over pairs of several shapes ({sorted(shapes)}); a projector to "
            'each is needed: projector="auto"'
        )
