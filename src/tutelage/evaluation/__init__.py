"""What a student is worth: quality, fidelity to its teacher, calibration, cost, and a verdict over seeds."""

from tutelage.evaluation.calibration import calibration
from tutelage.evaluation.caveats import (
    PROBABILITIES,
    ArmRecord,
    are_probabilities,
    sanity,
    teacher_before_training,
    warnings_about,
)
from tutelage.evaluation.cost import cost, cost_of_callable, latencies
from tutelage.evaluation.distinct import distinct_ngrams
from tutelage.evaluation.fidelity import confusion, fidelity
from tutelage.evaluation.forgetting import (
    average_accuracy,
    backward_transfer,
    forgetting,
    forward_transfer,
)
from tutelage.evaluation.jackknife import jackknife
from tutelage.evaluation.prediction import predict, row_and_position
from tutelage.evaluation.predictions import Predictions
from tutelage.evaluation.quality import classification, next_token
from tutelage.evaluation.several import credited, holm
from tutelage.evaluation.two_way import TwoWay, paired_interval, two_way
from tutelage.evaluation.verdict import Comparison, Verdict, compare, gap_closed, judge

__all__ = [
    "PROBABILITIES",
    "ArmRecord",
    "Comparison",
    "Predictions",
    "TwoWay",
    "Verdict",
    "are_probabilities",
    "average_accuracy",
    "backward_transfer",
    "calibration",
    "classification",
    "compare",
    "confusion",
    "cost",
    "cost_of_callable",
    "credited",
    "distinct_ngrams",
    "fidelity",
    "forgetting",
    "forward_transfer",
    "gap_closed",
    "holm",
    "jackknife",
    "judge",
    "latencies",
    "next_token",
    "paired_interval",
    "predict",
    "row_and_position",
    "sanity",
    "teacher_before_training",
    "two_way",
    "warnings_about",
]
