"""Who teaches whom, on which data: a scheme gives the engine its turns.

`Offline` is a fixed teacher and a learning student; `Alone` is a student with labels and nobody else, which
is how controls and teachers are trained. `Mutual` is peers that teach one another, `Codistillation` peers
that hear stale copies of one another; `Adversarial` a student whose logits or features a critic tells from
its teacher's. `Exits` is a network that teaches its own early exits, or its branches. `OnPolicy` asks the
teacher about what the student writes itself, `Searched` about inputs on which the two disagree.
Ensembles, past selves and stored answers are teachers, not schemes. A scheme declares what it hands over,
whom it asks and by which terms it learns.
"""

from tutelage.schemes.adversarial import Adversarial
from tutelage.schemes.alone import Alone
from tutelage.schemes.codistillation import Codistillation
from tutelage.schemes.data_free import DataFree
from tutelage.schemes.dataset_distillation import DatasetDistillation
from tutelage.schemes.exits import Exits
from tutelage.schemes.mutual import Mutual
from tutelage.schemes.offline import Offline
from tutelage.schemes.on_policy import OnPolicy
from tutelage.schemes.scheme import Scheme
from tutelage.schemes.searched import Searched

__all__ = [
    "Adversarial",
    "Alone",
    "Codistillation",
    "DataFree",
    "DatasetDistillation",
    "Exits",
    "Mutual",
    "Offline",
    "OnPolicy",
    "Scheme",
    "Searched",
]
