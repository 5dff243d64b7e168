"""A loss, bound to a place: a guided layer of the student, a hint of the teacher, a projector, a weight."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from tutelage import projectors
from tutelage.errors import ModelError, UnknownName
from tutelage.losses import Loss
from tutelage.types import Batch, Outputs

__all__ = ["Match"]


class Match(nn.Module):
    """One term of what a student minimises.

    Args:
        loss: what is compared, and how.
        guided: the student's layer, by its path; None compares logits.
        hint: the teacher's layer, by its path; with `guided` alone the same path is taken.
        projector: from the student's feature to the teacher's space: a module, None for none, or "auto" for
            one that is fitted by a dry run where the loss compares equal shapes and these differ.
        transform: changes the student's and the teacher's logits before the loss sees them:
            `losses.transforms.Standardise()`.
        weight: multiplies the loss.
        name: what to call the term; by default the loss's name and the guided layer.

    Example:
        >>> from tutelage.losses import response
        >>> Match(response.SoftTarget(temperature=4.0), weight=0.9).name
        'SoftTarget'
    """

    def __init__(
        self,
        loss: Loss,
        *,
        guided: str | None = None,
        hint: str | None = None,
        projector: nn.Module | Literal["auto"] | None = "auto",
        transform: nn.Module | None = None,
        weight: float = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__()
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
        if loss.place == "features" and guided is None:
            raise ModelError(f"{kind} compares features, and no layer was named; give guided= and hint=")
        if isinstance(projector, str) and projector != "auto":
            raise UnknownName("projector", projector, ["auto"], hint="Give a module, None, or 'auto'.")
        if hint is not None and guided is None:
            raise ModelError(f"the match of {kind} names the hint {hint!r} and no guided layer; give guided=")
        if transform is not None and loss.place != "logits":
            raise ModelError(f"{kind} compares features, and a transform is for logits; leave transform= out")
        self.loss, self.weight, self.transform = loss, weight, transform
        self.guided, self.hint = guided, hint if hint is not None else guided
        self.fits_projector = projector == "auto" and guided is not None and loss.same_shape
        self.projector = projector if isinstance(projector, nn.Module) else None
        self.name = name or (kind if guided is None else f"{kind}({guided})")

    @property
    def needs_teacher(self) -> bool:
        """Whether the term looks at the teacher."""
        return "teacher" in self.loss.needs

    @property
    def compares_logits(self) -> bool:
        """Whether student's and teacher's classes must be the same."""
        return self.guided is None and self.needs_teacher

    def fit(self, student: Outputs, teacher: Outputs | None) -> None:
        """Fit the projector to the shapes of a dry run."""
        if self.fits_projector and self.projector is None and self.needs_teacher:
            self.projector = projectors.fit(self._student(student), self._teacher(teacher))

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> Tensor:
        """The weighted term, a mean over the batch's unmasked items."""
        value = self._student(student)
        if self.projector is not None:
            value = self.projector(value)
        value = self._transformed(value, batch)
        given: dict[str, Any] = {}
        for need in self.loss.needs:
            if need == "teacher":
                given[need] = self._transformed(self._teacher(teacher), batch)
            elif need == "labels":
                given[need] = self._labels(batch)
            else:
                given[need] = getattr(batch, need)
        term: Tensor = self.loss(value, **given)
        if term.ndim:
            raise ModelError(
                f"{self.name} gave a tensor of shape {list(term.shape)}; a scalar is expected, the mean over "
                "the unmasked items: reduction.masked_mean makes one"
            )
        return term * self.weight

    def _transformed(self, value: Tensor, batch: Batch) -> Tensor:
        return value if self.transform is None else self.transform(value, batch.mask)

    def _student(self, student: Outputs) -> Tensor:
        return _value(student, self.guided, "student", self.name)

    def _teacher(self, teacher: Outputs | None) -> Tensor:
        if teacher is None:
            raise ModelError(f"{self.name} compares the student with a teacher, and there is none")
        return _value(teacher, self.hint, "teacher", self.name).detach()

    def _labels(self, batch: Batch) -> Tensor:
        if batch.labels is None:
            raise ModelError(
                f"{self.name} compares the student with labels, and the batch has none; leave the match out, "
                "or give labelled data"
            )
        return batch.labels


def _value(outputs: Outputs, layer: str | None, who: str, term: str) -> Tensor:
    value = outputs.logits if layer is None else outputs.features.get(layer)
    if value is None:
        what = "no logits" if layer is None else f"nothing at the layer {layer!r}"
        raise ModelError(
            f"{term} needs the {who}'s {'logits' if layer is None else layer}, and it gave {what}"
        )
    return value
