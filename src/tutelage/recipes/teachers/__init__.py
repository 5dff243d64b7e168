"""Teachers, as recipes describe them: what may be said about each kind, beside the function that plans it.

`frozen` has the network that is trained here or read from a file, `across` one that reads texts by tokens of
its own, `predictor` what has `fit` and `predict_proba`, `members` the teachers that ask others (ensemble,
panel, committee, cautious), `joined` those that each know a part (heads, union), `ready` those that nobody
trains here (stored, virtual, moving average, past self, without adapter). `kinds` is the table of all.
"""

from tutelage.recipes.teachers.across import AcrossSpec
from tutelage.recipes.teachers.frozen import FrozenSpec
from tutelage.recipes.teachers.joined import HeadsSpec, UnionSpec
from tutelage.recipes.teachers.kinds import SPECS, make_teacher
from tutelage.recipes.teachers.members import (
    CautiousSpec,
    CommitteeSpec,
    EnsembleSpec,
    MembersSpec,
    PanelSpec,
)
from tutelage.recipes.teachers.predictor import PredictorSpec
from tutelage.recipes.teachers.ready import (
    MovingAverageSpec,
    PastSelfSpec,
    StoredSpec,
    VirtualSpec,
    WithoutAdapterSpec,
)

__all__ = [
    "SPECS",
    "AcrossSpec",
    "CautiousSpec",
    "CommitteeSpec",
    "EnsembleSpec",
    "FrozenSpec",
    "HeadsSpec",
    "MembersSpec",
    "MovingAverageSpec",
    "PanelSpec",
    "PastSelfSpec",
    "PredictorSpec",
    "StoredSpec",
    "UnionSpec",
    "VirtualSpec",
    "WithoutAdapterSpec",
    "make_teacher",
]
