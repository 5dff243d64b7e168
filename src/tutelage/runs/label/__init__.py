"""From a study to a folder of its teacher's answers: `prepare`, then `Labelling.run`, then `finish`."""

from tutelage.runs.label.asking import answer, logits_of, rows_of
from tutelage.runs.label.finish import finish, repair
from tutelage.runs.label.labelling import Labelling
from tutelage.runs.label.prepare import Stated, prepare
from tutelage.runs.label.settings import LabelSettings
from tutelage.runs.shown import Shown, shown

__all__ = [
    "LabelSettings",
    "Labelling",
    "Shown",
    "Stated",
    "answer",
    "finish",
    "logits_of",
    "prepare",
    "repair",
    "rows_of",
    "shown",
]
