"""A run: train a teacher, the student alone and the student taught; measure them; say whether it helped."""

from tutelage.runs.distill import distill
from tutelage.runs.run import Run, run
from tutelage.runs.study import Arm, Stage, Study, TeacherPlan

__all__ = ["Arm", "Run", "Stage", "Study", "TeacherPlan", "distill", "run"]
