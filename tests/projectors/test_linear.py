"""The linear projector."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.projectors import Linear


def test_it_maps_the_last_axis() -> None:
    projector = Linear(in_features=2, out_features=3)
    with torch.no_grad():
        projector.map.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]))
        projector.map.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    x = torch.tensor([[3.0, 5.0]])
    assert projector(x).tolist() == [[3.0, 10.0, 9.0]]
    assert projector(x.expand(4, 7, 2)).shape == (4, 7, 3)


def test_gradient_reaches_student_and_projector() -> None:
    projector, x = Linear(in_features=2, out_features=3), torch.ones(4, 2, requires_grad=True)
    projector(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None for p in projector.parameters())


def test_another_precision_is_cast() -> None:
    assert (
        Linear(in_features=2, out_features=3)(torch.ones(4, 2, dtype=torch.bfloat16)).dtype == torch.float32
    )


def test_another_width_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\(4, 5\).*from 2 features"):
        Linear(in_features=2, out_features=3)(torch.ones(4, 5))
