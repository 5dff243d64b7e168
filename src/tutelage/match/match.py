"""A loss, bound to a place: guided layers of the student, hints of the teacher, a weight, a gate."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, cast

from torch import Tensor, nn

from tutelage import projectors
from tutelage.balancing import Fixed, Gate, Weight
from tutelage.errors import ModelError, TutelageError, UnknownName
from tutelage.losses import Loss
from tutelage.match.checks import Layers, check_loss, check_one_shape
from tutelage.match.classes import check_classes, labels_among, only
from tutelage.match.masks import both, part_left, without_padding
from tutelage.match.values import few, named_labels, value_at
from tutelage.stages import Pairing, pair
from tutelage.types import Batch, Moment, Outputs, SparseLogits

__all__ = ["Match"]

Value = Any
"""What a loss is given: a tensor, or `HeadLogits` or `SparseLogits` where it can read them."""


class Match(nn.Module):
    """One term of what a student minimises.

    Where a batch has an `attention_mask`, what fills up texts counts nothing in terms on tokens and on
    attention: their mean is that over the positions of a micro-batch, which weighs as its examples do.

    Args:
        loss: what is compared, and how.
        guided: the student's layer, by its path, or several of them; None compares logits.
        hint: the teacher's layer, or as many; with `guided` alone the same paths are taken, and the logits
            where the loss compares logits. Several pairs of layers add up; a loss that joins layers (a flow
            between two of them) gets all at once.
        stages: pair the layers where the two networks' stages or blocks end, found by a dry run, in place of
            `guided` and `hint`: "uniform", "last" or "skip"; see `tutelage.stages.pair`.
        projector: from the student's feature to the teacher's space: a module; None for none; "auto" for
            one to each pair, fitted by a dry run, where the loss compares equal shapes and these differ;
            "shared" for a single one over all pairs, fitted likewise.
        transform: changes the student's and the teacher's logits before the loss sees them:
            `losses.transforms.Standardise()`.
        classes: compare the logits of these classes alone, as a head of theirs would give them. A label
            counts within them; one of another class counts as `UNLABELLED`. None for all.
        weight: multiplies the loss: a number, or one of `tutelage.balancing` that changes.
        labels: the name of the labels that the term is about, where a batch has several by name.
        gate: says on which items the term counts, one of `tutelage.balancing`; None for all.
        name: what to call the term; by default the loss's name and the guided layers.

    Example:
        >>> from tutelage.losses import response
        >>> Match(response.SoftTarget(temperature=4.0), weight=0.9).name
        'SoftTarget'
    """

    weight: Weight

    def __init__(
        self,
        loss: Loss,
        *,
        guided: Layers = None,
        hint: Layers = None,
        stages: Pairing | None = None,
        projector: nn.Module | Literal["auto", "shared"] | None = "auto",
        transform: nn.Module | None = None,
        classes: Sequence[int] | None = None,
        weight: float | Weight = 1.0,
        labels: str | None = None,
        gate: Gate | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        check_loss(loss, guided, hint, stages, transform)
        if isinstance(projector, str) and projector not in ("auto", "shared"):
            raise UnknownName("projector", projector, ["auto", "shared"], hint="Or give a module, or None.")
        self.guided = _paths(guided)
        default = () if loss.place == "logits" else self.guided
        self.hints = _paths(hint) if hint is not None else default
        self.stages = stages
        self._check_pairs(loss)
        self.losses = nn.ModuleList([loss])
        given = isinstance(projector, nn.Module)
        self.projectors = nn.ModuleList([projector] if given else [])  # type: ignore[list-item]
        self.shares_projector = given or projector == "shared"
        self.fits_projector = isinstance(projector, str) and loss.same_shape and loss.place == "features"
        self.transform = transform
        self.labels = labels
        layers = bool(self.guided or self.hints or stages)
        self.classes = check_classes(classes, type(loss).__name__, compares_logits=not layers)
        self.weight = weight if isinstance(weight, Weight) else Fixed(weight)
        if gate is not None and not isinstance(gate, Gate):
            raise ModelError(f"a gate came as {gate!r}; expected one of tutelage.balancing, such as Right()")
        self.gate = gate
        places = ["stages"] if stages else list(self.guided)
        kind = type(loss).__name__
        self.name = name or (f"{kind}({', '.join(places)})" if places else kind)

    @property
    def loss(self) -> Loss:
        """What is compared, and how; that of the first pair of layers."""
        return self._loss(0)

    @property
    def needs_teacher(self) -> bool:
        """Whether the term looks at the teacher."""
        return "teacher" in self.loss.needs or self.gate is not None

    @property
    def compares_logits(self) -> bool:
        """Whether student's and teacher's classes must be the same."""
        return not self.guided and not self.stages and "teacher" in self.loss.needs

    @property
    def reads_teacher_logits(self) -> bool:
        """Whether the teacher's logits are compared, be it with a layer of the student."""
        return "teacher" in self.loss.needs and not self.hints and not self.stages

    @property
    def needs_all_classes(self) -> bool:
        """Whether few classes of the teacher's logits, the likely ones or some draws, are not enough."""
        alone = not self.loss.reads_sparse or self.transform is not None or bool(self.classes)
        return self.gate is not None or (self.reads_teacher_logits and alone)

    def pair_stages(self, student: Sequence[str], teacher: Sequence[str]) -> None:
        """Name the layers of a match by stages, given those of both networks."""
        if self.stages is not None:
            pairs = pair(student, teacher, self.stages)
            self.guided, self.hints = tuple(one for one, _ in pairs), tuple(other for _, other in pairs)

    def fit(self, student: Outputs, teacher: Outputs | None) -> None:
        """Fit projectors, and losses that learn, to the shapes of a dry run."""
        if "teacher" not in self.loss.needs:
            return
        ours, theirs = self._student(student), self._teacher(teacher)
        if self.fits_projector and not self.projectors:
            self._fit_projectors(ours, theirs)
        ours = self._projected(ours)
        if self.loss.joins_layers:
            self.loss.fit(tuple(ours), tuple(theirs))
            return
        if self.loss.learns:
            self.losses.extend(copy.deepcopy(self.loss) for _ in ours[len(self.losses) :])
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            self._loss(number).fit(one, other)

    def begin(self, moment: Moment) -> None:
        """Take up how far the training is."""
        self.weight.begin(moment)
        for loss in self.losses:
            cast(Loss, loss).begin(moment)

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> Tensor:
        """The weighted term, a mean over the batch's unmasked items."""
        batch = named_labels(batch, self.labels, self.name)
        mask, needs = self._mask(teacher, batch), self.loss.needs
        ours = [self._transformed(value, mask) for value in self._projected(self._student(student))]
        theirs: list[Any] = [None] * len(ours)
        if "teacher" in needs:
            theirs = [self._transformed(value, mask) for value in self._teacher(teacher)]
        given: dict[str, Any] = {
            need: self._of(batch, need) for need in needs if need not in ("teacher", "mask")
        }
        if "mask" in needs:
            place = theirs[0] if self.guided or self.hints else None
            given["mask"] = without_padding(mask, batch, place, self.loss.layouts)
        try:
            term = self._sum(ours, theirs, given)
        except TutelageError:
            raise
        except ValueError as error:
            raise ModelError(f"{self.name}: {error}") from error
        return _times(_times(term, self.weight.now), part_left(mask, batch))

    def _sum(self, student: list[Value], teacher: list[Any], given: dict[str, Any]) -> Tensor:
        """The loss of all layers at once, or the sum over pairs of them."""
        if self.loss.joins_layers:
            return self._scalar(self.loss(tuple(student), tuple(teacher), **given))
        pairs = list(zip(student, teacher, strict=True))
        term = self._scalar(self._call(0, *pairs[0], given))
        for number, (one, other) in enumerate(pairs[1:], start=1):
            term = term + self._scalar(self._call(number, one, other, given))
        return term

    def _call(self, number: int, student: Value, teacher: Value, given: dict[str, Any]) -> Tensor:
        loss = self._loss(number)
        return loss(student, **given) if teacher is None else loss(student, teacher=teacher, **given)

    def _loss(self, number: int) -> Loss:
        held = self.losses._modules  # by name: an index of a ModuleList takes many times as long
        return cast(Loss, held[str(number)] if number < len(held) else held["0"])

    def _mask(self, teacher: Outputs | None, batch: Batch) -> Tensor | None:
        """Items that count: in the batch, answered by the teacher, let through by the gate."""
        mask = batch.mask
        if teacher is not None and "teacher" in self.loss.needs and teacher.mask is not None:
            mask = both(mask, teacher.mask)
        if self.gate is not None:
            if teacher is None:
                raise ModelError(f"{self.name} has a gate that judges a teacher, and there is none")
            mask = both(mask, self.gate(teacher, batch))
        return mask

    def _scalar(self, term: Tensor) -> Tensor:
        if term.ndim:
            raise ModelError(
                f"{self.name} gave a tensor of shape {list(term.shape)}; a scalar is expected, the mean over "
                "the unmasked items: reduction.masked_mean makes one"
            )
        return term

    def _transformed(self, value: Value, mask: Tensor | None) -> Value:
        return value if self.transform is None else self.transform(value, mask)

    def _projected(self, values: Sequence[Value]) -> list[Value]:
        held = list(self.projectors)
        if not held:
            return list(values)
        return [held[number % len(held)](value) for number, value in enumerate(values)]

    def _fit_projectors(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> None:
        fitted = [projectors.fit(ours, theirs) for ours, theirs in zip(student, teacher, strict=True)]
        if all(one is None for one in fitted):
            return
        if self.shares_projector:
            check_one_shape(self.name, student, teacher)
            fitted = fitted[:1]
        self.projectors.extend(nn.Identity() if one is None else one for one in fitted)

    def _student(self, student: Outputs) -> list[Value]:
        return [self._value(student, layer, "student") for layer in self.guided or (None,)]

    def _teacher(self, teacher: Outputs | None) -> list[Value]:
        if teacher is None:
            raise ModelError(f"{self.name} compares the student with a teacher, and there is none")
        values = [self._value(teacher, layer, "teacher") for layer in self.hints or (None,)]
        return [value if isinstance(value, SparseLogits) else value.detach() for value in values]

    def _value(self, outputs: Outputs, layer: str | None, who: str) -> Value:
        """A feature, or the logits of the term's classes in a form that the loss can read."""
        value = self._whole(outputs, layer, who)
        return only(value, self.classes, self.name) if self.classes else value

    def _whole(self, outputs: Outputs, layer: str | None, who: str) -> Value:
        """A feature, or the logits of all classes in a form that the loss can read."""
        if layer is not None or outputs.logits is not None:
            return value_at(outputs, layer, who, self.name)
        if outputs.head is not None:
            head = outputs.head.detach() if who == "teacher" else outputs.head
            return head if self._reads_heads else head.whole()
        if who == "teacher" and outputs.sparse is not None:
            return few(outputs.sparse, self.loss, self.transform, self.name)
        return value_at(outputs, layer, who, self.name)

    @property
    def _reads_heads(self) -> bool:
        """Whether logits may stay uncomputed; a transform and a projector need them."""
        return self.loss.reads_heads and self.transform is None and not self.projectors

    def _of(self, batch: Batch, need: str) -> Tensor:
        if need == "labels" and batch.labels is None:
            raise ModelError(
                f"{self.name} compares the student with labels, and the batch has none; leave the match out, "
                "or give labelled data"
            )
        found = cast(Tensor, getattr(batch, need))
        return labels_among(found, self.classes) if need == "labels" and self.classes else found

    def _check_pairs(self, loss: Loss) -> None:
        ours, theirs = len(self.guided), len(self.hints)
        if ours != theirs and not (loss.joins_layers or (loss.place == "logits" and not theirs)):
            raise ModelError(
                f"{type(loss).__name__} was given {ours} guided layers and {theirs} hints; give as many of "
                "the one as of the other"
            )


def _times(term: Tensor, factor: Tensor | float) -> Tensor:
    """The product, without a step for the backward pass where the factor is 1."""
    return term if isinstance(factor, float) and factor == 1 else term * factor


def _paths(layers: Layers) -> tuple[str, ...]:
    return () if layers is None else (layers,) if isinstance(layers, str) else tuple(layers)
