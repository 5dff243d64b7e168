from tutelage.runs.label import *  # noqa
