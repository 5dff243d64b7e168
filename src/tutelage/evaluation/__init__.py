"""What a student is worth: quality, fidelity to its teacher, calibration, cost, and a verdict over seeds."""

from tutelage.evaluation.asking import predict
from tutelage.evaluation.calibration import calibration
from tutelage.evaluation.cost import cost, cost_of_callable
from tutelage.evaluation.doubts import warnings_about
from tutelage.evaluation.fidelity import confusion, fidelity
from tutelage.evaluation.predictions import Predictions
from tutelage.evaluation.quality import classification, next_token
from tutelage.evaluation.verdict import Verdict, gap_closed, judge, paired_interval

__all__ = [
    "Predictions",
    "Verdict",
    "calibration",
    "classification",
    "confusion",
    "cost",
    "cost_of_callable",
    "fidelity",
    "gap_closed",
    "judge",
    "next_token",
    "paired_interval",
    "predict",
    "warnings_about",
]
