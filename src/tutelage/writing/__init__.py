"""From a study to a folder of text that its teacher wrote: `prepare`, then `Writing.run`, then `finish`."""

from tutelage.writing.finish import finish, repair
from tutelage.writing.prepare import prepare
from tutelage.writing.settings import WriteSettings
from tutelage.writing.writing import Writing

__all__ = ["WriteSettings", "Writing", "finish", "prepare", "repair"]
