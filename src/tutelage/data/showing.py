"""What student and teacher are shown of an example: the same view, other ones, or a mix of two examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from scipy.special import betaincinv
from torch import Tensor

from tutelage.data.batches import tensors_in
from tutelage.data.random import uniform
from tutelage.data.sources import Source
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.types import UNLABELLED, Batch, map_tensors

__all__ = ["Showing", "TeacherSees", "Transform", "is_steady"]

Transform = Callable[[Batch, int], Batch]
"""A change of a batch, random by example: (batch, seed of the view) -> batch."""

TeacherSees = Literal["same", "plain", "fixed", "independent"]
"""What a teacher is shown of an example of which the student is shown a view."""

_FIXED = 0


class Showing:
    """A view of each example for the student, and what the teacher is shown of it (function matching).

    With `mixup` each example is mixed with another one of the data, and student and teacher are shown the
    mix. Who is mixed with whom, and how much, is drawn from the example's id and the view, among all of the
    data and not of the batch: the same mix comes back under any batch size, on any process, after any
    resumption. Inputs alone are mixed; the labels are taken away, since they are true of no mix.

    Args:
        augment: a change of each example, random by its id and the view; None for none.
        mixup: a and b of the Beta distribution that an example's share is drawn from; above 0, 1 for equal
            chances of all shares. None mixes nothing.
        teacher: `same`, what the student is shown; `plain`, the example without augmentation; `fixed`, one
            augmented view, the same in all epochs and seeds; `independent`, a view of its own in each epoch.
        source: the data that examples are mixed from; `over` gives it.

    Shapes: a batch of N examples and the seed of the view -> a batch of N examples.

    Raises:
        RecipeError: a mix whose teacher is shown something else, another view without augmentation, or a
            mixup that is not above 0.
        UnknownName: the teacher is to see something else.
        DataError: inputs that are no numbers between which another number has a meaning, when called.

    Source: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent", section 3,
    whose consistent teaching is `same`, with `mixup` function matching; their fixed teacher is `plain` or
    `fixed`, their independent noise `independent`. Zhang et al. 2018, "mixup: Beyond Empirical Risk
    Minimization", section 2. Differences: partners are drawn from all of the data, where both papers shuffle
    a batch; each example has a share of its own.

    Example:
        >>> from tutelage.data import Examples
        >>> source = Examples(torch.arange(8.0).unsqueeze(-1), torch.arange(8))
        >>> mix = Showing(mixup=1.0).over(source)
        >>> one, two = mix(source.batch([3, 5]), 7), mix(source.batch([5]), 7)
        >>> torch.equal(one.inputs[1], two.inputs[0]), one.labels.tolist()
        (True, [-100, -100])
    """

    def __init__(
        self,
        augment: Transform | None = None,
        *,
        mixup: float | None = None,
        teacher: TeacherSees = "same",
        source: Source | None = None,
    ) -> None:
        if teacher not in get_args(TeacherSees):
            raise UnknownName("view of the teacher", str(teacher), get_args(TeacherSees))
        if mixup is not None and not mixup > 0:
            raise RecipeError(f"mixup came as {mixup}; a number above 0 is expected, such as 1.0")
        if mixup is not None and teacher != "same":
            raise RecipeError(
                f"mixup is {mixup} and the teacher is shown the {teacher} view: an answer to one example is "
                "none to a mix of two; leave one of them out"
            )
        if augment is None and teacher in ("fixed", "independent"):
            raise RecipeError(
                f"the teacher is to be shown the {teacher} view, and there is no augmentation that would "
                "make one; give `augment`, such as {jitter: 2}"
            )
        self.augment, self.mixup, self.teacher, self.source = augment, mixup, teacher, source

    def __repr__(self) -> str:
        return f"Showing({self.augment!r}, mixup={self.mixup}, teacher={self.teacher})"

    def over(self, source: Source) -> Showing:
        """The same for examples of a source, from which those to mix with are taken."""
        return Showing(self.augment, mixup=self.mixup, teacher=self.teacher, source=source)

    def __call__(self, batch: Batch, view: int) -> Batch:
        """The batch as it is shown in `view`."""
        seen = self._view(batch, view)
        if self.mixup is not None:
            return self._mixed(seen, view, self.mixup)
        if self.teacher == "same":
            return seen
        other = {"plain": None, "fixed": _FIXED, "independent": -1 - view}[self.teacher]
        return replace(seen, shown=batch.inputs if other is None else self._view(batch, other).inputs)

    def _view(self, batch: Batch, view: int) -> Batch:
        return batch if self.augment is None else self.augment(batch, view)

    def _mixed(self, batch: Batch, view: int, mixup: float) -> Batch:
        if self.source is None:
            raise DataError("a mix needs the data that it is mixed from; call `over(source)` first")
        draws = uniform(batch.ids, seed=view, draw="partner")
        numbers = (draws * len(self.source)).long().clamp(max=len(self.source) - 1)
        partner = self._view(self.source.batch(numbers.tolist()), view)
        chances = uniform(batch.ids, seed=view, draw="share").numpy()
        shares = torch.from_numpy(betaincinv(mixup, mixup, chances))
        others = iter(tensors_in(partner.inputs))
        inputs = map_tensors(batch.inputs, lambda own: _mix(own, next(others), shares))
        return replace(batch, inputs=inputs, labels=_no_labels(batch.labels))


def is_steady(transform: object) -> bool:
    """Whether a teacher is shown the same of an example in all epochs and seeds."""
    return transform is None or (isinstance(transform, Showing) and transform.teacher in ("plain", "fixed"))


def _mix(own: Tensor, other: Tensor, shares: Tensor) -> Tensor:
    if not own.is_floating_point() or own.shape != other.shape:
        raise DataError(
            f"mixup mixes numbers, such as those of images, and inputs came as {own.dtype} of shape "
            f"{list(own.shape[1:])} and {list(other.shape[1:])}; leave mixup out"
        )
    shares = shares.to(own.dtype).view(-1, *[1] * (own.ndim - 1))
    return own * shares + other * (1 - shares)


def _no_labels(labels: Any) -> Any:
    """Labels that say nothing; a tree of them is left out."""
    known = isinstance(labels, Tensor) and not labels.is_floating_point()
    return torch.full_like(labels, UNLABELLED) if known else None
