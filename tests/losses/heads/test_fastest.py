import time
from unittest import TestCase

import pytest
import torch

from tutelage.losses.heads import fastest as room
from tutelage.losses.heads.fastest import fastest
from tutelage.types import HeadLogits


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.setattr(room, "_CHOSEN", {})


def head(items=4, *, grad=True, dtype=torch.float32):
    return HeadLogits(torch.ones(items, 2, requires_grad=grad, dtype=dtype), torch.ones(3, 2, dtype=dtype))


def quick(given):
    quick.calls += 1
    return given.whole().square().sum()


def slow(given):
    time.sleep(0.02)
    return quick(given)


@pytest.fixture(autouse=True)
def counted():
    quick.calls = 0


def test_the_quicker_way_is_measured_once_and_said():
    ways = {"slow": slow, "quick": quick}
    with TestCase().assertLogs(room.__name__, "INFO") as logged:
        assert fastest(ways, head(), of="Some") is quick
        assert quick.calls == 8  # each way once for itself, and three times in turns
        assert fastest(ways, head(5), of="Some") is quick
    assert quick.calls == 8
    (record,) = logged.records
    line = record.getMessage()
    assert line.startswith("Some [4, 3] on cpu: slow ")
    assert line.endswith(" ms; quick is used")


@pytest.mark.parametrize("other", [head(8), head(dtype=torch.float64)])
def test_another_size_or_dtype_is_measured_anew(other):
    ways = {"slow": slow, "quick": quick}
    fastest(ways, head(), of="Some")
    fastest(ways, other, of="Some")
    assert quick.calls == 16


def test_another_purpose_is_measured_anew():
    ways = {"slow": slow, "quick": quick}
    for of in ("Some", "Other"):
        fastest(ways, head(), of=of)
    assert quick.calls == 16


def test_where_nothing_learns_nothing_is_measured():
    ways = {"slow": slow, "quick": quick}
    assert fastest(ways, head(grad=False), of="Some") is slow
    with torch.no_grad():
        assert fastest(ways, head(), of="Some") is slow
    assert fastest({"quick": quick}, head(), of="Some") is quick
    assert quick.calls == 0


def test_what_needs_too_much_memory_is_out():
    def greedy(given):
        raise torch.OutOfMemoryError("too much")

    assert fastest({"greedy": greedy, "slow": slow}, head(), of="Some") is slow
    assert fastest({"greedy": greedy, "vast": greedy}, head(), of="Some") is greedy  # and says so itself


def test_the_students_gradients_stay_its_own():
    student = head()
    kept = student.hidden.grad = torch.full((4, 2), 7.0)
    fastest({"slow": slow, "quick": quick}, student, of="Some")
    assert student.hidden.grad is kept
    assert torch.equal(kept, torch.full((4, 2), 7.0))


def test_a_network_that_only_gives_hidden_states_is_measured_with_its_weights():
    student = HeadLogits(torch.ones(4, 2), torch.ones(3, 2, requires_grad=True))
    assert fastest({"slow": slow, "quick": quick}, student, of="Some") is quick


def test_the_network_below_is_not_asked_for_gradients():
    below = torch.ones(2, requires_grad=True)
    below.register_hook(lambda gradient: pytest.fail("asked"))
    student = HeadLogits(below * torch.ones(4, 2), torch.ones(3, 2, requires_grad=True))
    assert fastest({"slow": slow, "quick": quick}, student, of="Some") is quick
