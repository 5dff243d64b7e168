"""Where knowledge comes from: `teacher(batch) -> Outputs`."""

from tutelage.teachers.ensemble import Ensemble
from tutelage.teachers.frozen import Frozen
from tutelage.teachers.predictor import Predictor
from tutelage.teachers.remembered import Remembered
from tutelage.teachers.teacher import Teacher

__all__ = ["Ensemble", "Frozen", "Predictor", "Remembered", "Teacher"]
