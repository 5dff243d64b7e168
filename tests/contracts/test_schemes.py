"""What every scheme that the folder exports must do.

The golden trajectories in tests/golden are written by `python tests/golden/trajectories.py`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tutelage.engine import Runtime, Validation
from tutelage.errors import Interrupted
from tutelage.schemes import Scheme

GOLDEN = Path(__file__).parents[1] / "golden"


def _load():
    spec = importlib.util.spec_from_file_location("golden_trajectories", GOLDEN / "trajectories.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden_trajectories"] = module
    spec.loader.exec_module(module)
    return module


golden = _load()


@pytest.fixture(params=golden.exported(), ids=lambda kind: kind.__name__)
def kind(request) -> type[Scheme]:
    return request.param


def weights(scheme: Scheme) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, module in scheme.modules.items()
        for key, value in module.state_dict().items()
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[key]) for key, value in one.items())


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], rtol=1e-11, atol=1e-11)


def test_the_trajectory_is_the_golden_one(kind):
    held = json.loads((GOLDEN / f"{kind.__name__}.json").read_text())
    now = golden.trajectory(kind)
    assert len(held["terms"]) == 20
    for ours, theirs in zip(now["terms"], held["terms"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    assert now["weights"] == pytest.approx(held["weights"], rel=1e-9)


def test_every_golden_trajectory_has_its_scheme():
    assert {path.stem for path in GOLDEN.glob("*.json")} == {one.__name__ for one in golden.exported()}


def test_a_turn_moves_its_own_parameters_only(kind):
    scheme = golden.make(kind)
    everything = {id(p) for p in scheme.modules["student"].parameters()}
    batch = golden.examples().batch(range(8))
    for turn in scheme.turns():
        own = {id(p) for p in turn.parameters}
        everything |= own
        before = {id(p): p.detach().clone() for p in turn.parameters}
        others = outsiders(scheme, own)
        kept = [value.detach().clone() for value in others]
        optimizer = torch.optim.SGD(turn.parameters, lr=0.5)
        sum(turn.terms(batch).values()).backward()
        optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(others, kept, strict=True))
        assert any(not torch.equal(p, before[id(p)]) for p in turn.parameters)


def outsiders(scheme: Scheme, own: set[int]) -> list[torch.Tensor]:
    """Every parameter and buffer that a scheme holds anywhere, without those of one turn."""
    held = [value for value in vars(scheme).values() if isinstance(value, nn.Module)]
    held += [*scheme.modules.values(), *(learner.network for learner in scheme.learners)]
    found = [t for module in held for t in (*module.parameters(), *module.buffers())]
    return [tensor for tensor in found if id(tensor) not in own]


def test_training_leaves_the_teacher_as_it_was(kind):
    scheme = golden.make(kind)
    teacher = getattr(scheme, "teacher", None) or nn.Module()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    golden.train(scheme)
    assert same(before, teacher.state_dict())
    assert all(p.grad is None for p in teacher.parameters())


def test_micro_batches_equal_one_batch(kind):
    whole, parts = golden.make(kind), golden.make(kind)
    one, many = golden.train(whole), golden.train(parts, accumulate=3)
    close(weights(whole), weights(parts))
    for a, b in zip(one.history, many.history, strict=True):
        assert a["terms"] == pytest.approx(b["terms"], rel=1e-11)


class StopAt(Runtime):
    """Asks for a stop after so many looks."""

    def __init__(self, at: int) -> None:
        super().__init__(cpu=True, quiet=True)
        self.left = at

    @property
    def stop_asked(self) -> bool:
        self.left -= 1
        return self.left == 0


def test_a_resumed_run_equals_an_uninterrupted_one(kind, tmp_path):
    whole, parts = golden.make(kind), golden.make(kind)
    expected = golden.train(whole)
    for at in (3, 4, 8):
        with pytest.raises(Interrupted):
            golden.train(parts, tmp_path, runtime=StopAt(at))
        parts = golden.make(kind, seed=77)  # other weights, so that nothing but the checkpoint is taken up
    fitted = golden.train(parts, tmp_path)
    assert same(weights(whole), weights(parts))
    assert fitted.history == expected.history


def test_the_student_is_in_training_mode_after_validation(kind):
    scheme = golden.make(kind)
    student = scheme.student
    golden.train(scheme, validation=Validation(lambda: {"m": float(student.eval().training)}, "m"))
    assert all(layer.training for layer in student.modules())


def test_a_dry_run_changes_nothing_but_the_matches(kind):
    scheme = golden.make(kind)
    for layer in scheme.student.modules():
        layer.training = True
    before, state = weights(scheme), torch.get_rng_state()
    scheme.prepare(golden.examples().batch([0]))
    assert same(before, weights(scheme))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(layer.training for layer in scheme.student.modules())
    assert all(p.grad is None for p in scheme.student.parameters())


def test_terms_are_scalars_with_names_of_their_own(kind):
    scheme = golden.make(kind)
    for turn in scheme.turns():
        terms = turn.terms(golden.examples().batch(range(5)))
        assert terms
        assert all(term.shape == () and term.isfinite() for term in terms.values())
    assert len({turn.name for turn in scheme.turns()}) == len(scheme.turns())
    assert next(iter(scheme.modules)) == "student"
