"""Networks that more than one task trains."""

from tutelage.tasks.networks.checks import require_positive
from tutelage.tasks.networks.early_exit import EarlyExit, Enough
from tutelage.tasks.networks.mean_of_networks import MeanOfNetworks
from tutelage.tasks.networks.mlp import MLP, mlp
from tutelage.tasks.networks.with_exits import WithExits, with_exits

__all__ = [
    "MLP",
    "EarlyExit",
    "Enough",
    "MeanOfNetworks",
    "WithExits",
    "mlp",
    "require_positive",
    "with_exits",
]
