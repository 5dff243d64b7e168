"""Tuning: settings for a student and its control, found on the validation split with as many trials each.

`tune` puts it together. `knobs` are what is searched, `subjects` a recipe or a call of `distill`, `sides` the
two that are tuned, `place` the folder that processes share, `work` the trials, `finalists` the last few;
`worker` goes through all of it.
"""

from tutelage.tuning.tune import tune
from tutelage.tuning.tuned import Tuned

__all__ = ["Tuned", "tune"]
