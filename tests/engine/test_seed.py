"""Every random generator."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tutelage.engine import Checkpoint, seed_everything, seeded
from tutelage.engine.seed import random_state, restore_random_state


def draw() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(())),
        float(torch.randn(())),
    ]


def test_a_seed_fixes_every_generator():
    seed_everything(3)
    first = draw()
    assert first != draw()
    seed_everything(3)
    assert first == draw()
    seed_everything(2**40)  # NumPy takes 32 bits


def test_a_stored_state_is_taken_up_exactly(tmp_path):
    seed_everything(4)
    draw()  # leaves half of a pair of Gaussians behind in Python's and NumPy's generators
    file = Checkpoint(tmp_path / "random")
    file.save(random_state())
    first = draw()
    seed_everything(9)
    restore_random_state(file.load())
    assert first == draw()


def test_a_block_of_its_own_seed_disturbs_nobody():
    seed_everything(5)
    expected = draw()
    seed_everything(5)
    with seeded(1):
        one = draw()
    assert expected == draw()
    with seeded(1):
        assert one == draw()
    with pytest.raises(KeyError), seeded(1):
        raise KeyError
    after = draw()
    assert after != one
