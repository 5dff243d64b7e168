"""A run: train a teacher, the student alone and the student taught; measure them; say whether it helped.

`run` goes from a study to a report, `distill` from a user's own modules to a study. `examined` measures each
outcome, `judging` compares them, `results` puts everything together.
"""

from tutelage.runs.distill import distill
from tutelage.runs.run import Run, run

__all__ = ["Run", "distill", "run"]
