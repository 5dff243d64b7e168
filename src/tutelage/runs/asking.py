"""Teachers that are no networks, asked about their rows before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tutelage.data import Over, Source
from tutelage.data.frames import FrameRows
from tutelage.data.frames.columns import Columns, as_pandas
from tutelage.errors import ModelError
from tutelage.runs.checks import asked
from tutelage.runs.frames import OfRawRows
from tutelage.tasks.targets import Targets
from tutelage.teachers import Predictor, Teacher
from tutelage.types import UNLABELLED

__all__ = ["check_answers_everywhere", "check_order_of_classes"]

_ROWS = 2048  # of each split, spread over it
_PLAIN, _WRONG = 0.7, 0.6  # right in another order, of all; right in this order, of those


def check_answers_everywhere(teacher: Teacher, splits: Mapping[str, Source]) -> None:
    """Ask a forest, a booster or a pipeline about rows of each split, each word of a frame among them.

    Args:
        teacher: whom; networks alone are not asked.
        splits: by name; of none the labels are looked at.

    Raises:
        ModelError: it fails on a split.
    """
    own = [one for one in teacher.modules() if isinstance(one, Predictor | OfRawRows)]
    if not own:
        return
    kind = own[0].called if isinstance(own[0], Predictor) and len(own) == 1 else "one that is no network"
    for where, source in splits.items():
        asked(teacher, source.batch(_numbers(source)), who=f"the teacher ({kind})", where=where)


def check_order_of_classes(
    teacher: Teacher, targets: Targets, train: Source, names: Sequence[str] | None
) -> None:
    """Refuse a predictor whose classes are plainly in another order than the labels.

    Args:
        teacher: nothing is said of one that is no `Predictor`.
        targets: what the labels are.
        train: some of it is asked about.
        names: the words of classes 0, 1, …, or None.

    Raises:
        ModelError: it is mostly wrong, and mostly right once its classes are put in another order.
    """
    if not isinstance(teacher, Predictor) or targets.kind != "classes":
        return
    batch = train.batch(_spread(len(train)))
    labels, width = batch.labels, targets.width
    if not isinstance(labels, Tensor) or labels.ndim != 1:
        return
    logits = teacher(batch).logits
    known = (labels != UNLABELLED) & (labels >= 0) & (labels < width)
    if logits is None or not bool(known.any()):
        return
    said, true = logits.argmax(-1)[known].long(), labels[known].long()
    cells = torch.zeros(width, width, dtype=torch.int64)
    cells.index_put_((true, said), torch.ones_like(true), accumulate=True)
    right, count, order = int(cells.diagonal().sum()), len(true), cells.argmax(1).tolist()
    meant = int(cells.amax(1).sum())
    if sorted(order) != list(range(width)) or meant < _PLAIN * count or right > _WRONG * meant:
        return
    own = teacher.names or list(range(width))
    if len(own) != width:
        return
    classes = [own[place] for place in order]
    words = names or [str(number) for number in range(width)]
    numbered = (
        f"The words of the labels were numbered by the alphabet ({_pairs(range(width), words)}), and the "
        f"teacher's classes are {', '.join(map(str, own))}"
        if names
        else f"The labels are 0 to {width - 1}"
    )
    raise ModelError(
        f"the teacher ({teacher.called}) is right about {right} of {count} training rows, and about {meant} "
        f"once its classes are put in another order than that of the labels. {numbered}; by its answers "
        f"{_pairs(classes, words, ' stands for ')}: give tutelage.teachers.Predictor(teacher, "
        f"classes={classes}) in its place"
    )


def _pairs(first: Sequence[object], second: Sequence[object], between: str = " ") -> str:
    return ", ".join(f"{one!r}{between}{other}" for one, other in list(zip(first, second, strict=True))[:10])


def _spread(count: int) -> list[int]:
    step = max(1, count // _ROWS)
    return list(range(0, count, step))[:_ROWS]


def _numbers(source: Source) -> list[int]:
    """Rows spread over a split, and of each column of words the first row with each word."""
    while isinstance(source, Over):
        source = source.source
    found = dict.fromkeys(_spread(len(source)))
    if isinstance(source, FrameRows):
        frame = as_pandas(source.frame).reset_index(drop=True)
        for name in Columns.of(frame)["word"]:
            found |= dict.fromkeys(frame[name].drop_duplicates().index[:_ROWS].tolist())
    return sorted(found)
