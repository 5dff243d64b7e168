"""From an arm to trained networks: a walk through stages, resumable at each step.

`walk` goes through the stages of an arm, for training and for a forecast alike; `stage` sets one up; `arm`
trains and keeps what came of it; `classroom` has the teachers; `networks` is what lies beside weights.
"""

from tutelage.training.arm import Trained, train_arm
from tutelage.training.classroom import Classroom, train_teacher
from tutelage.training.stage import evaluation_loader, set_up_stage

__all__ = ["Classroom", "Trained", "evaluation_loader", "set_up_stage", "train_arm", "train_teacher"]
