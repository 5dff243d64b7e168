"""From a study to a folder of text that its teacher wrote: `prepare`, then `Writing.run`, then `finish`."""

from tutelage.runs.write.finish import finish, repair
from tutelage.runs.write.prepare import prepare
from tutelage.runs.write.settings import WriteSettings
from tutelage.runs.write.writing import Writing

__all__ = ["WriteSettings", "Writing", "finish", "prepare", "repair"]
