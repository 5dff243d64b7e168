"""Changes of a network between trainings: a network and settings -> a smaller network, in place.

Each is deterministic, gives what it did as plain JSON, and can do the same to a network that was built anew.
"""

from tutelage.compression.prune import Prune

__all__ = ["Prune"]
