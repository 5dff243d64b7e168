"""What is to be done, as data: a study, its arms, their stages, what comes of them.

`study` has the records, `views` what a study shows to whom, `stored` what can be refused of stored answers,
`compared` what differs between two arms.
"""

from tutelage.studies.study import (
    Arm,
    Change,
    Outcome,
    Stage,
    Study,
    TeacherPlan,
    Together,
    fresh_network,
    fresh_networks,
    loader_seed,
)

__all__ = [
    "Arm",
    "Change",
    "Outcome",
    "Stage",
    "Study",
    "TeacherPlan",
    "Together",
    "fresh_network",
    "fresh_networks",
    "loader_seed",
]
