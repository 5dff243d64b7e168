"""How a detector is examined: mean average precision of its boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.errors import DataError, ModelError
from tutelage.match import Match
from tutelage.tasks.detection.losses import CellBox, CellLabel
from tutelage.tasks.detection.precision import average_precision, find_things
from tutelage.tasks.exam import Exam
from tutelage.types import UNLABELLED, Batch, Outputs

__all__ = ["BOXES", "BoxExam", "Detections"]

BOXES = ":output.boxes"
"""Where a detector's boxes stand in its answer."""


@dataclass(frozen=True)
class Detections:
    """What a detector says about some images: each cell's box, for each class.

    Args:
        ids: of the images.
        scores: the probability that the class stands in the cell.
        hits: whether the cell's box finds a thing of the class.
        totals: how many things of each class the image shows.
    """

    ids: Int[Tensor, " n"]
    scores: Float[Tensor, "n c k"]
    hits: Bool[Tensor, "n c k"]
    totals: Int[Tensor, "n c"]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Int[Tensor, " m"]) -> Detections:
        """The images at these places, with all their boxes."""
        return Detections(self.ids[places], self.scores[places], self.hits[places], self.totals[places])


class BoxExam(Exam):
    """Boxes with classes, measured by mean average precision (mAP) at an intersection over union of one half.

    The mean runs over the classes of which there is a thing. Each cell's box counts for each class, ranked by
    the class's probability; an image is left out whole where images are left out.

    Args:
        num_classes: of things; the last class of the logits, one more, is nothing.
        least: the intersection over union that makes a box find a thing.
    """

    metric = "mean_average_precision"
    layers = (BOXES,)

    def __init__(self, num_classes: int, *, least: float = 0.5) -> None:
        self.num_classes, self.least = num_classes, least

    def ask(
        self, answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
    ) -> Detections:
        """Scores, and which boxes find a thing; masked images are left out."""
        with torch.inference_mode():
            parts = [self._detections(answer(batch), batch) for batch in (b.to(device) for b in batches)]
        if not any(map(len, parts)):
            raise DataError("there is not one image to look at: the set is empty, or all of it is masked")
        return Detections(
            torch.cat([part.ids for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat([part.hits for part in parts]),
            torch.cat([part.totals for part in parts]),
        )

    def measure(self, answers: Detections) -> dict[str, float]:
        """Mean average precision over classes, and that of the worst class, which the mean can hide."""
        scores, hits = (held.transpose(0, 1).flatten(1) for held in (answers.scores, answers.hits))
        found = average_precision(scores, hits, answers.totals.sum(0))
        if bool(found.isnan().all()):
            raise DataError(f"none of the {len(answers)} images shows a thing, so that none can be found")
        return {
            "mean_average_precision": float(found.nanmean()),
            "worst_class_average_precision": float(found[~found.isnan()].min()),
        }

    def alone(self) -> list[Match]:
        """Classes of cells, and boxes of those in which something stands."""
        return [Match(CellLabel()), Match(CellBox(), guided=BOXES)]

    def _detections(self, outputs: Outputs, batch: Batch) -> Detections:
        logits, boxes, labels = self._checked(outputs, batch)
        keep = torch.ones_like(batch.ids, dtype=torch.bool) if batch.mask is None else batch.mask
        scores = logits.float().softmax(-1)[keep, :, :-1].mT
        true_boxes, classes = labels["boxes"][keep], labels["classes"][keep]
        hits = find_things(scores, boxes[keep].float(), true_boxes, classes, least=self.least)
        kinds = torch.arange(self.num_classes, device=classes.device)
        totals = ((classes[..., None] == kinds) & (classes[..., None] != UNLABELLED)).sum(1)
        return Detections(batch.ids[keep].cpu(), scores.cpu(), hits.cpu(), totals.cpu())

    def _checked(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        logits, boxes, labels = outputs.logits, outputs.features.get(BOXES), batch.labels
        if not isinstance(labels, Mapping) or not {"boxes", "classes"} <= labels.keys():
            raise DataError(
                f"labels came as {type(labels).__name__}; expected boxes [N, things, 4], classes [N, things]"
            )
        if logits is None or boxes is None or boxes.shape != (*logits.shape[:-1], 4):
            raise ModelError(
                "a detector answers {logits: [N, cells, classes + 1], boxes: [N, cells, 4]}; logits came as "
                f"{_shape(logits)} and boxes as {_shape(boxes)}"
            )
        if logits.shape[-1] != self.num_classes + 1:
            raise ModelError(
                f"the detector tells {logits.shape[-1]} classes apart; {self.num_classes} kinds of things "
                f"and nothing are {self.num_classes + 1}: give it num_classes: {self.num_classes}"
            )
        if not bool(logits.isfinite().all() and boxes.isfinite().all()):
            raise ModelError("the detector's answers are NaN or infinite; check its weights and its inputs")
        return logits, boxes, labels


def _shape(held: Tensor | None) -> str:
    return "none" if held is None else str(list(held.shape))
