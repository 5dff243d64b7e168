"""From a study to its best documents: `prepare`, then `Scoring.run`, then `finish`."""

from tutelage.selecting.finish import finish
from tutelage.selecting.prepare import prepare
from tutelage.selecting.scoring import Scoring
from tutelage.selecting.settings import SelectSettings

__all__ = ["Scoring", "SelectSettings", "finish", "prepare"]
