"""Where knowledge comes from: `teacher(batch) -> Outputs`."""

from tutelage.teachers.ahead import Ahead
from tutelage.teachers.cautious import Cautious
from tutelage.teachers.committee import Committee
from tutelage.teachers.ensemble import Ensemble
from tutelage.teachers.frozen import Frozen
from tutelage.teachers.function import Function
from tutelage.teachers.heads import Heads
from tutelage.teachers.moving_average import MovingAverage
from tutelage.teachers.panel import Panel
from tutelage.teachers.past_self import PastSelf
from tutelage.teachers.predictor import Predictor
from tutelage.teachers.remembered import Remembered
from tutelage.teachers.some_classes import SomeClasses
from tutelage.teachers.specialists import (
    Specialists,
    combine,
    confusable_classes,
    specialist_labels,
)
from tutelage.teachers.stacking import Conflict, conflict, learn_weights
from tutelage.teachers.stored import Stored
from tutelage.teachers.teacher import Teacher
from tutelage.teachers.union import Union
from tutelage.teachers.virtual import Virtual
from tutelage.teachers.without_adapter import WithoutAdapter

__all__ = [
    "Ahead",
    "Cautious",
    "Committee",
    "Conflict",
    "Ensemble",
    "Frozen",
    "Function",
    "Heads",
    "MovingAverage",
    "Panel",
    "PastSelf",
    "Predictor",
    "Remembered",
    "SomeClasses",
    "Specialists",
    "Stored",
    "Teacher",
    "Union",
    "Virtual",
    "WithoutAdapter",
    "combine",
    "conflict",
    "confusable_classes",
    "learn_weights",
    "specialist_labels",
]
