"""Knowledge distillation on PyTorch, from a teacher to a measured student.

>>> import tutelage as tl
>>> run = tl.distill(teacher, student, train, validation, test=test)  # doctest: +SKIP
>>> run.verdict, run.student, run.report  # doctest: +SKIP
>>> student = tl.load(run.out, student)  # doctest: +SKIP

Names are imported when they are first used, so that the command line answers at once.
"""

from typing import TYPE_CHECKING

from tutelage.lazy import lazy

if TYPE_CHECKING:
    from tutelage.comparison.compare import Compared, compare
    from tutelage.errors import TutelageError, TutelageWarning
    from tutelage.labelling.label import label
    from tutelage.match import Match
    from tutelage.recipes.rebuild import load
    from tutelage.runs.compress import compress
    from tutelage.runs.distill import distill
    from tutelage.runs.run import Run
    from tutelage.tasks.metric import Metric
    from tutelage.tuning.tune import tune
    from tutelage.tuning.tuned import Tuned
    from tutelage.types import Batch, Outputs, Turn
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "Batch": "tutelage.types",
            "Compared": "tutelage.comparison",
            "Match": "tutelage.match",
            "Metric": "tutelage.tasks.metric",
            "Outputs": "tutelage.types",
            "Run": "tutelage.runs",
            "Tuned": "tutelage.tuning",
            "Turn": "tutelage.types",
            "TutelageError": "tutelage.errors",
            "TutelageWarning": "tutelage.errors",
            "compare": "tutelage.comparison",
            "compress": "tutelage.runs.compress",
            "distill": "tutelage.runs",
            "label": "tutelage.labelling",
            "load": "tutelage.recipes.rebuild",
            "tune": "tutelage.tuning",
        },
    )

__all__ = [
    "Batch",
    "Compared",
    "Match",
    "Metric",
    "Outputs",
    "Run",
    "Tuned",
    "Turn",
    "TutelageError",
    "TutelageWarning",
    "compare",
    "compress",
    "distill",
    "label",
    "load",
    "tune",
]

__version__ = "0.1.0"
