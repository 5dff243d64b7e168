"""Response knowledge: what a network answers, logits against logits or labels."""

from __future__ import annotations

from tutelage.losses.response.adaptive_soft_target import AdaptiveSoftTarget
from tutelage.losses.response.alpha_beta_target import AlphaBetaTarget
from tutelage.losses.response.binary_label import BinaryLabel
from tutelage.losses.response.binary_soft_target import BinarySoftTarget
from tutelage.losses.response.bounded_regression import BoundedRegression
from tutelage.losses.response.class_relation import ClassRelation
from tutelage.losses.response.curriculum_target import CurriculumTarget
from tutelage.losses.response.decoupled import Decoupled
from tutelage.losses.response.hard_label import HardLabel
from tutelage.losses.response.hard_teacher import HardTeacher
from tutelage.losses.response.jensen_shannon_target import JensenShannonTarget
from tutelage.losses.response.logit_match import LogitMatch
from tutelage.losses.response.mixed_target import MixedTarget
from tutelage.losses.response.multi_level import MultiLevel
from tutelage.losses.response.normalised import Normalised
from tutelage.losses.response.probability_match import ProbabilityMatch
from tutelage.losses.response.reverse_soft_target import ReverseSoftTarget
from tutelage.losses.response.skewed_soft_target import SkewedSoftTarget
from tutelage.losses.response.soft_label import SoftLabel
from tutelage.losses.response.soft_target import SoftTarget
from tutelage.losses.response.sorted_probabilities import SortedProbabilities
from tutelage.losses.response.student_top_target import StudentTopTarget
from tutelage.losses.response.total_variation_target import TotalVariationTarget
from tutelage.losses.response.transformed_teacher import TransformedTeacher
from tutelage.losses.response.value_label import ValueLabel
from tutelage.losses.response.weighed_soft_target import WeighedSoftTarget

__all__ = [
    "AdaptiveSoftTarget",
    "AlphaBetaTarget",
    "BinaryLabel",
    "BinarySoftTarget",
    "BoundedRegression",
    "ClassRelation",
    "CurriculumTarget",
    "Decoupled",
    "HardLabel",
    "HardTeacher",
    "JensenShannonTarget",
    "LogitMatch",
    "MixedTarget",
    "MultiLevel",
    "Normalised",
    "ProbabilityMatch",
    "ReverseSoftTarget",
    "SkewedSoftTarget",
    "SoftLabel",
    "SoftTarget",
    "SortedProbabilities",
    "StudentTopTarget",
    "TotalVariationTarget",
    "TransformedTeacher",
    "ValueLabel",
    "WeighedSoftTarget",
]
