"""From a study to a folder of its teacher's answers: `prepare`, then `Labelling.run`, then `finish`."""

from tutelage.labelling.answering import answer, logits_of, rows_of
from tutelage.labelling.finish import finish, repair
from tutelage.labelling.label import label
from tutelage.labelling.labelling import Labelling
from tutelage.labelling.prepare import Stated, prepare, working_at
from tutelage.labelling.settings import LabelSettings
from tutelage.studies.views import Shown, shown

__all__ = [
    "LabelSettings",
    "Labelling",
    "Shown",
    "Stated",
    "answer",
    "finish",
    "label",
    "logits_of",
    "prepare",
    "repair",
    "rows_of",
    "shown",
    "working_at",
]
