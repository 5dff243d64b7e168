"""Who teaches whom, on which data: a scheme gives the engine its turns.

`Offline` is a fixed teacher and a learning student; `Alone` is a student with labels and nobody else, which
is how controls and teachers are trained. Ensembles, past selves and stored answers are teachers, not schemes.
A scheme declares what it hands over, whom it asks and by which terms it learns.
"""

from tutelage.schemes.alone import Alone
from tutelage.schemes.offline import Offline
from tutelage.schemes.scheme import Scheme

__all__ = ["Alone", "Offline", "Scheme"]
