"""Biases of classes that the student never saw, set without a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.errors import ModelError
from tutelage.evaluation import predict
from tutelage.modes import evaluating
from tutelage.teachers import Teacher
from tutelage.types import Batch

__all__ = ["PriorBias"]


class PriorBias:
    """Shift the biases of some classes until the student names them as often as it should.

    A student whose transfer set lacks a class learns what the class looks like from the teacher's soft
    targets, but learns also that it never occurs. One number a class, its bias, undoes that.

    Args:
        classes: whose biases are set.
        prior: how often each occurs; by default, how often the teacher believes it does, as its mean
            probability over the same unlabelled inputs.

    Source:
        Hinton, Vinyals and Dean 2015, section 3. The paper took the bias that was best on the test set;
        here it is solved from unlabelled inputs alone.
    """

    def __init__(self, *, classes: Sequence[int], prior: float | None = None) -> None:
        if not classes or (prior is not None and not 0 < prior < 1):
            raise ModelError(
                f"classes {list(classes)} with prior {prior}: give classes, and a prior of 0 to 1"
            )
        wrong = [kind for kind in classes if type(kind) is not int or kind < 0]
        if wrong:
            raise ModelError(f"classes holds {wrong[0]!r}; expected numbers of classes, from 0")
        self.classes, self.prior = list(classes), prior

    def check(self, num_classes: int | None) -> None:
        """Refuse classes that a problem does not have, before anything is trained.

        Raises:
            ModelError: it has none of that number.
        """
        wrong = [kind for kind in self.classes if num_classes is not None and kind >= num_classes]
        if wrong:
            raise ModelError(
                f"prior_bias sets the bias of class {wrong[0]}, and there are {num_classes} classes, 0 to "
                f"{(num_classes or 0) - 1}; name those that the student never saw"
            )

    def __call__(
        self, student: nn.Module, teacher: Teacher | None, inputs: Iterable[Batch], device: torch.device
    ) -> None:
        """Set the biases of `student` in place, from unlabelled `inputs`."""
        batches = list(inputs)
        logits = _logits(student, batches, device)
        wanted = self._wanted(teacher, batches, logits.shape[-1], device)
        bias = _bias_of(student, logits.shape[-1])
        for _ in range(20):  # classes compete, so go round until they agree
            before = logits.clone()
            for kind in self.classes:
                logits[:, kind] += _shift(logits, kind, wanted[kind])
            if torch.allclose(before, logits, atol=1e-6):
                break
        shift = logits[0] - _logits(student, batches[:1], device)[0]
        with torch.no_grad():
            bias.add_(shift.to(bias))

    def _wanted(
        self, teacher: Teacher | None, batches: Sequence[Batch], num_classes: int, device: torch.device
    ) -> Tensor:
        if self.prior is not None:
            return torch.full((num_classes,), self.prior, dtype=torch.float64)
        if teacher is None:
            raise ModelError("a prior bias without a teacher needs a prior; give `prior: 0.1`, say")
        return predict(teacher, batches, device=device).probs.double().mean(0)


def _logits(student: nn.Module, batches: Sequence[Batch], device: torch.device) -> Tensor:
    """The student's logits in float64."""
    with evaluating(student):
        answers = predict(lambda batch: capture(student, batch.inputs), batches, device=device)
    return answers.logits.double()


def _shift(logits: Tensor, kind: int, wanted: Tensor) -> Tensor:
    """The number that, added to one class, makes its mean probability what is wanted; by bisection."""
    low, high = torch.tensor(-50.0).double(), torch.tensor(50.0).double()
    others = torch.cat([logits[:, :kind], logits[:, kind + 1 :]], dim=1).logsumexp(1)
    for _ in range(60):
        middle = (low + high) / 2
        share = torch.sigmoid(logits[:, kind] + middle - others).mean()
        low, high = (middle, high) if share < wanted else (low, middle)
    return (low + high) / 2


def _bias_of(student: nn.Module, num_classes: int) -> nn.Parameter:
    heads = [m for m in student.modules() if isinstance(m, nn.Linear) and m.out_features == num_classes]
    if not heads or heads[-1].bias is None:
        raise ModelError(
            f"{type(student).__name__} has no linear head of {num_classes} classes with a bias to set; "
            "leave the correction out"
        )
    return heads[-1].bias
