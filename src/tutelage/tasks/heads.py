"""How a network with several heads is examined: each head by its own accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from tutelage.errors import DataError, ModelError, UnknownName
from tutelage.evaluation import Predictions
from tutelage.losses import response
from tutelage.match import Match
from tutelage.tasks.exam import Exam
from tutelage.types import Batch, Outputs

__all__ = ["HeadAnswers", "HeadsExam", "head_path"]


def head_path(name: str) -> str:
    """Where the answer of a head stands in a network's answer.

    Example:
        >>> head_path("digit")
        ':output.digit'
    """
    return f":output.{name}"


@dataclass(frozen=True)
class HeadAnswers:
    """What a network says of some examples, head by head.

    Args:
        heads: by name, the answers and the labels.
    """

    heads: Mapping[str, Predictions]

    @property
    def ids(self) -> Tensor:
        """The stable numbers of the examples."""
        return next(iter(self.heads.values())).ids

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Tensor) -> HeadAnswers:
        """The examples at these places."""
        return HeadAnswers({name: held.take(places) for name, held in self.heads.items()})


class HeadsExam(Exam):
    """A class of each example for each head, measured by accuracy.

    Networks answer with a mapping that has each head's logits by its name; labels are a mapping of the same
    names.

    Args:
        heads: the name of each and its number of classes.
        judged: the head that the verdict is about; None for the mean of all accuracies.
    """

    def __init__(self, heads: Mapping[str, int], *, judged: str | None = None) -> None:
        if judged is not None and judged not in heads:
            raise UnknownName("head", judged, heads, hint="It is what the verdict is to be about.")
        self.heads, self.judged = dict(heads), judged
        self.metric = "mean_accuracy" if judged is None else f"{judged}_accuracy"
        self.layers = tuple(head_path(name) for name in heads)

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> HeadAnswers:
        """Logits and labels of each head; masked examples are left out."""
        parts: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in self.heads}
        ids: list[Tensor] = []
        with torch.inference_mode():
            for batch in (each.to(device) for each in batches):
                keep = torch.ones_like(batch.ids, dtype=torch.bool) if batch.mask is None else batch.mask
                outputs = answer(batch)
                ids.append(batch.ids[keep].cpu())
                for name in self.heads:
                    logits, labels = self._checked(name, outputs, batch)
                    parts[name].append((logits[keep].float().cpu(), labels[keep].cpu()))
        if not any(map(len, ids)):
            raise DataError("there is not one example to look at: the set is empty, or all of it is masked")
        joined = torch.cat(ids)
        found = {}
        for name, held in parts.items():
            logits, labels = (torch.cat(each) for each in zip(*held, strict=True))
            found[name] = Predictions(logits, labels, joined)
        return HeadAnswers(found)

    def measure(self, answers: HeadAnswers) -> dict[str, float]:
        """The accuracy of each head, and their mean."""
        each = {
            f"{name}_accuracy": float((held.labelled.classes == held.labelled.labels).double().mean())
            for name, held in answers.heads.items()
        }
        return {"mean_accuracy": fmean(each.values()), **each}

    def alone(self) -> list[Match]:
        """The labels of each head."""
        return [
            Match(response.HardLabel(), guided=head_path(name), labels=name, name=f"HardLabel({name})")
            for name in self.heads
        ]

    def per_example(self, answers: HeadAnswers) -> Tensor | None:
        """The share of an example's heads that are right, or of the judged one; None without all labels."""
        judged = list(self.heads) if self.judged is None else [self.judged]
        held = [answers.heads[name] for name in judged]
        if any(len(one.labelled) < len(one) for one in held):
            return None
        right = torch.stack([(one.classes == one.labels).double() for one in held])
        return right.mean(0)[answers.ids.argsort()]

    def _checked(self, name: str, outputs: Outputs, batch: Batch) -> tuple[Tensor, Tensor]:
        if not isinstance(batch.labels, Mapping) or name not in batch.labels:
            raise DataError(
                f"labels came as {type(batch.labels).__name__}; expected a mapping of {', '.join(self.heads)}"
            )
        logits, wanted = outputs.features.get(head_path(name)), [len(batch), self.heads[name]]
        if logits is None or list(logits.shape) != wanted:
            came = "none" if logits is None else str(list(logits.shape))
            raise ModelError(
                f"a network answers each head by its name, {name!r} with logits {wanted}; came {came}"
            )
        if not bool(logits.isfinite().all()):
            raise ModelError(f"the logits of {name!r} are NaN or infinite; check weights and inputs")
        return logits, batch.labels[name]
