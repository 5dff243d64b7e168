"""Knowledge distillation on PyTorch, from a teacher to a measured student.

>>> import tutelage as tl
>>> run = tl.distill(teacher, student, train, validation, test=test)  # doctest: +SKIP
>>> run.verdict, run.student, run.report  # doctest: +SKIP
"""

from tutelage.errors import TutelageError, TutelageWarning
from tutelage.match import Match
from tutelage.runs import Run, distill
from tutelage.types import Batch, Outputs, Turn

__all__ = ["Batch", "Match", "Outputs", "Run", "Turn", "TutelageError", "TutelageWarning", "distill"]

__version__ = "0.1.0"
