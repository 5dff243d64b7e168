"""How much a packed file may become."""

from __future__ import annotations

from typing import IO

from tutelage.errors import AnswersError

__all__ = ["UNPACKED", "Unpacked", "most_unpacked"]

UNPACKED = 100
"""How many times its size a packed file may become; answers pack 1.1 to 10 times."""

_ALWAYS = 256 << 20
_AT_A_TIME = 1 << 20


def most_unpacked(nbytes: int) -> int:
    """Bytes that a packed file of this size may become."""
    return max(_ALWAYS, UNPACKED * nbytes)


class Unpacked:
    """A packed file, written out until it passes its limit.

    Args:
        name: of the file, for messages.
        nbytes: of the packed file.
    """

    def __init__(self, name: str, nbytes: int) -> None:
        self.name, self.limit = name, most_unpacked(nbytes)

    def copy(self, source: IO[bytes], target: IO[bytes]) -> None:
        """Write out what a reader that unpacks gives.

        Raises:
            AnswersError: it becomes more than its limit; what was written is the caller's to remove.
        """
        written = 0
        while part := source.read(_AT_A_TIME):
            written += len(part)
            if written > self.limit:
                raise AnswersError(
                    f"{self.name} unpacks to more than {self.limit:,} bytes, {UNPACKED} times its size: no "
                    "answers pack like that. It was made to fill a disk; label again, or ask where it is from"
                )
            target.write(part)
