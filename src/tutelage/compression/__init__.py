"""Changes of a network between trainings: a network and settings -> a smaller network, in place.

Each is deterministic, gives what it did as plain JSON, and can do the same to a network that was built anew.
"""

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.export import Export
from tutelage.compression.factorise import Factorise
from tutelage.compression.merge_adapter import MergeAdapter
from tutelage.compression.prune import Prune
from tutelage.compression.prune_transformer import PruneTransformer
from tutelage.compression.quantise import Quantise
from tutelage.compression.settle import is_settled, settle, settled_records
from tutelage.compression.share import Share

changes = {
    "export": Export,
    "factorise": Factorise,
    "merge_adapter": MergeAdapter,
    "prune": Prune,
    "prune_transformer": PruneTransformer,
    "quantise": Quantise,
    "share": Share,
}
"""What a recipe may name between trainings: name -> a `Changer`."""

__all__ = [
    "Calibration",
    "Changed",
    "Changer",
    "Export",
    "Factorise",
    "MergeAdapter",
    "Prune",
    "PruneTransformer",
    "Quantise",
    "Share",
    "changes",
    "is_settled",
    "settle",
    "settled_records",
]
