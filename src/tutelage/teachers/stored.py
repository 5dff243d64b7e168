"""A teacher that answered before, and is absent now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tutelage.answers import Answers
from tutelage.errors import ModelError
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Stored"]


class Stored(Teacher):
    """Answers from a folder that `tutelage label` has filled; the teacher itself is not needed.

    An answer is found by what the teacher was shown, not by position: shuffled data, other processes,
    micro-batches and resumed runs get the right one, and an example that it was not shown is refused.

    Args:
        answers: the folder, its URL, or opened answers.

    Shapes:
        batch: inputs as they were shown when the answers were made.
        returns: logits where they were kept whole, else `sparse`; and the layers that were kept.

    Raises:
        AnswersError: there are no answers, or none to an example of a batch.
    """

    keyed: ClassVar[bool] = True

    def __init__(self, answers: Answers | str | Path) -> None:
        super().__init__()
        self.answers = answers if isinstance(answers, Answers) else Answers(answers)

    def forward(self, batch: Batch) -> Outputs:
        """Look a batch up."""
        return self.answers.outputs(batch)

    def watch(self, layers: Sequence[str]) -> None:
        """Accept the layers that were kept.

        Raises:
            ModelError: a layer was not kept.
        """
        missing = [layer for layer in layers if layer not in self.answers.layers]
        if missing:
            kept = f"the layers {', '.join(self.answers.layers)}" if self.answers.layers else "no layers"
            raise ModelError(
                f"the answers at {self.answers.place.url} hold {kept}, and {', '.join(missing)} is asked "
                f"for. Label again with --layer {missing[0]}, or match another one"
            )
