"""The command line: one file a verb. Results on stdout; logs, warnings and progress on stderr.

Exit status 0 is done, 1 failed, 2 wrong use, 130 stopped on request. What a verb needs is imported inside it,
so that help comes at once.
"""

from tutelage.cli.app import app, main

__all__ = ["app", "main"]
