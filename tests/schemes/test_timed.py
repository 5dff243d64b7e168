"""The parts of a student that change with the time are told it."""

from __future__ import annotations

from torch import Tensor, nn

from tutelage.losses import response
from tutelage.match import Match
from tutelage.schemes.learner import Learner
from tutelage.types import Moment


class Clock(nn.Module):
    """Notes what it is told."""

    has_arrived = True

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Moment] = []

    def at_moment(self, moment: Moment) -> None:
        self.told.append(moment)

    def forward(self, rows: Tensor) -> Tensor:
        return rows


def test_every_part_of_the_network_is_told_before_a_turn():
    network = nn.Sequential(nn.Linear(2, 2), Clock(), nn.Sequential(Clock()))
    order: list[str] = []
    turn = Learner("student", network, [Match(response.HardLabel())]).turn(
        lambda batch: {}, before=lambda moment: order.append(f"{len(network[1].told)}")
    )
    turn.before(Moment(3, 10, 5))
    assert network[1].told == network[2][0].told == [Moment(3, 10, 5)]
    assert order == ["1"]
