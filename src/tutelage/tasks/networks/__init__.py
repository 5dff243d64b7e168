"""Networks that more than one task trains."""

from tutelage.tasks.networks.checks import require_positive
from tutelage.tasks.networks.mlp import MLP, mlp

__all__ = ["MLP", "mlp", "require_positive"]
