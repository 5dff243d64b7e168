"""Several teachers that answer as one."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.teachers import Ensemble, Frozen, Teacher
from tutelage.types import Batch, Outputs


class Says(Teacher):
    """Answers with given logits."""

    def __init__(self, logits: Tensor | None) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, batch: Batch) -> Outputs:
        return Outputs(self.logits)


BATCH = Batch(inputs=torch.zeros(1, 2), ids=torch.arange(1))


def says(*probabilities: float) -> Says:
    return Says(torch.tensor([probabilities]).log() + 3.0)  # a shift of all logits means nothing


def test_the_mean_of_probabilities_by_hand() -> None:
    logits = Ensemble([says(0.9, 0.1), says(0.5, 0.5)])(BATCH).logits
    torch.testing.assert_close(logits, torch.tensor([[0.7, 0.3]]).log())


def test_weights_are_normalised() -> None:
    members = [says(0.9, 0.1), says(0.5, 0.5)]
    ensemble = Ensemble(members, weights=[6, 2])
    assert ensemble.weights == (0.75, 0.25)
    torch.testing.assert_close(ensemble(BATCH).logits, torch.tensor([[0.8, 0.2]]).log())


def test_the_mean_of_logits_by_hand() -> None:
    members = [Says(torch.tensor([[1.0, 3.0]])), Says(torch.tensor([[5.0, -1.0]]))]
    assert Ensemble(members, weights=[3, 1], mean="logits")(BATCH).logits.tolist() == [[2.0, 2.0]]


def test_one_member_is_itself() -> None:
    logits = torch.tensor([[1.0, 3.0, -2.0]])
    assert torch.equal(Ensemble([Says(logits)], mean="logits")(BATCH).logits, logits)
    torch.testing.assert_close(Ensemble([Says(logits)])(BATCH).logits, logits.log_softmax(-1))


def test_extreme_logits_stay_finite() -> None:
    members = [Says(torch.tensor([[1e4, -1e4]])), Says(torch.tensor([[-1e4, 1e4]]))]
    torch.testing.assert_close(Ensemble(members)(BATCH).logits, torch.full((1, 2), math.log(0.5)))


def test_classes_cut_by_all_members_stay_cut() -> None:
    members = [Says(torch.tensor([[0.0, -math.inf]])), Says(torch.tensor([[1.0, -math.inf]]))]
    assert Ensemble(members)(BATCH).logits.tolist() == [[0.0, -math.inf]]


def test_low_precision_is_combined_in_float32() -> None:
    members = [Says(torch.randn(1, 4).bfloat16()) for _ in range(3)]
    for mean in ("probabilities", "logits"):
        assert Ensemble(members, mean=mean)(BATCH).logits.dtype == torch.float32


def test_five_hundred_members_equal_the_stack_and_stream() -> None:
    class Fresh(Teacher):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.seed = seed

        def forward(self, batch: Batch) -> Outputs:
            logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(self.seed))
            alive.add(logits)
            peak[0] = max(peak[0], len(alive))
            return Outputs(logits)

    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    peak = [0]
    gc.collect()
    logits = Ensemble([Fresh(seed) for seed in range(500)])(BATCH).logits
    stack = torch.stack([torch.randn(4, 10, generator=torch.Generator().manual_seed(s)) for s in range(500)])
    torch.testing.assert_close(logits, stack.softmax(-1).mean(0).log())
    assert peak[0] <= 2


def test_gradient_reaches_the_input_when_members_let_it() -> None:
    ensemble = Ensemble([Frozen(nn.Linear(2, 3), input_gradient=True) for _ in range(2)])
    x = torch.zeros(1, 2, requires_grad=True)
    ensemble(Batch(inputs=x, ids=torch.arange(1))).logits[:, 0].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_disagreeing_members_are_refused() -> None:
    with pytest.raises(ModelError, match=r"teacher 1 .*\(1, 3\).*\(1, 2\)"):
        Ensemble([says(0.5, 0.5), says(0.2, 0.3, 0.5)])(BATCH)
    with pytest.raises(ModelError, match=r"teacher 0 .*without logits"):
        Ensemble([Says(None)])(BATCH)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.inf], [1.0, math.nan]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="for 2 teachers"):
        Ensemble([says(0.5, 0.5), says(0.5, 0.5)], weights=weights)


def test_no_members_and_unknown_means_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])
    with pytest.raises(UnknownName, match="'logits'"):
        Ensemble([says(0.5, 0.5)], mean="logit")
    with pytest.raises(ModelError, match="no layers"):
        Ensemble([says(0.5, 0.5)]).watch(["fc"])
