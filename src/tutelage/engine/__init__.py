"""The engine runs turns, on one device or many. It knows nothing of distillation.

`fit` is the loop. Around it: `settings` (what a user may choose), `optimizers` (by torch's names),
`parallel` (devices, processes, precision, through Accelerate), `division` (what processes divide among
themselves), `checkpoint` (one atomic file), `saves` (what it holds, and how it is taken up), `selection`
(which weights are kept), `tracking` (history, progress, trackers), `average` (moving average of weights),
`seed` (every random generator) and `interrupt` (a polite stop).
"""

from tutelage.engine.checkpoint import Checkpoint, load_weights, save_weights
from tutelage.engine.division import Division
from tutelage.engine.interrupt import StopRequest
from tutelage.engine.loop import Fitted, fit
from tutelage.engine.optimizer_steps import OptimizerSteps
from tutelage.engine.optimizers import build_optimizer, build_schedule
from tutelage.engine.parallel import Runtime
from tutelage.engine.seed import seed_everything, seeded
from tutelage.engine.selection import Validation
from tutelage.engine.settings import OptimizerSettings, TrainSettings, complaints, name_and_settings
from tutelage.engine.sharding import rest, sharded, whole
from tutelage.engine.tracking import Progress, history_digest, read_history

__all__ = [
    "Checkpoint",
    "Division",
    "Fitted",
    "OptimizerSettings",
    "OptimizerSteps",
    "Progress",
    "Runtime",
    "StopRequest",
    "TrainSettings",
    "Validation",
    "build_optimizer",
    "build_schedule",
    "complaints",
    "fit",
    "history_digest",
    "load_weights",
    "name_and_settings",
    "read_history",
    "rest",
    "save_weights",
    "seed_everything",
    "seeded",
    "sharded",
    "whole",
]
