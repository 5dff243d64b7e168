"""Optimisers and schedules by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, lr_scheduler

from tutelage.engine import OptimizerSettings, build_optimizer, build_schedule, optimizers
from tutelage.engine.checkpoint import Checkpoint
from tutelage.errors import ModelError, RecipeError, UnknownName


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2))]


def rates(settings: OptimizerSettings, total: int) -> list[float]:
    """The learning rate of each update of a run."""
    optimizer = build_optimizer(settings, parameters())
    schedule = build_schedule(settings, optimizer, total)
    found = []
    for _ in range(total):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return found


@pytest.mark.parametrize(
    ("name", "fused"), [("sgd", None), ("adamw", True), ("adam", True), ("adagrad", None)]
)
def test_spread_weights_move_in_a_fused_form_where_torch_has_one(name, fused, monkeypatch):
    monkeypatch.setattr(optimizers, "is_sharded", lambda tensors: True)
    optimizer = build_optimizer(OptimizerSettings(name=name, options={"lr": 0.5}), parameters())
    assert optimizer.param_groups[0].get("fused") is fused


def test_a_fused_form_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(optimizers, "is_sharded", lambda tensors: True)
    asked = OptimizerSettings(name="sgd", options={"lr": 0.5, "fused": True})
    with pytest.raises(RecipeError, match="SGD came with fused: true, and its weights are spread"):
        build_optimizer(asked, parameters())
    build_optimizer(OptimizerSettings(name="adamw", options={"fused": True}), parameters())


@pytest.mark.parametrize("name", ["adamw", "AdamW", "ADAMW", "adam_w"])
def test_names_are_torchs_in_any_case(name):
    optimizer = build_optimizer(OptimizerSettings(name=name, options={"lr": 0.5}), parameters())
    assert type(optimizer) is AdamW
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown optimizer 'adanw'\. Nearest: 'AdamW'"):
        build_optimizer(OptimizerSettings(name="adanw"), parameters())
    with pytest.raises(UnknownName, match=r"unknown schedule 'cosine'\. Nearest: .*'CosineAnnealingLR'"):
        rates(OptimizerSettings(name="sgd", schedule="cosine"), 4)


@pytest.mark.parametrize("name", ["lbfgs", "Optimizer", "parameter", "_LRScheduler"])
def test_what_the_loop_cannot_step_is_no_optimizer(name):
    with pytest.raises(UnknownName):
        build_optimizer(OptimizerSettings(name=name), parameters())


@pytest.mark.parametrize("name", ["ReduceLROnPlateau", "SequentialLR", "ChainedScheduler", "LRScheduler"])
def test_what_the_loop_cannot_step_is_no_schedule(name):
    with pytest.raises(UnknownName):
        rates(OptimizerSettings(name="sgd", schedule=name), 4)


def test_an_unknown_option_gets_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown option of SGD 'momentun'\. Nearest: 'momentum'"):
        build_optimizer(OptimizerSettings(name="sgd", options={"momentun": 0.9}), parameters())
    with pytest.raises(UnknownName, match=r"unknown option of StepLR 'step'\. Nearest: 'step_size'"):
        rates(OptimizerSettings(name="sgd", schedule="step_lr", schedule_options={"step": 3}), 4)


def test_a_refused_value_is_an_error_in_torchs_words():
    with pytest.raises(RecipeError, match=r"SGD refused .*learning rate"):
        build_optimizer(OptimizerSettings(name="sgd", options={"lr": -1.0}), parameters())
    with pytest.raises(RecipeError, match=r"StepLR refused .*step_size"):
        rates(OptimizerSettings(name="sgd", schedule="StepLR"), 4)


def test_only_trainable_parameters_are_moved():
    frozen, free = parameters()[0].requires_grad_(False), parameters()[0]
    optimizer = build_optimizer(OptimizerSettings(name="sgd"), [frozen, free])
    assert optimizer.param_groups[0]["params"] == [free]
    with pytest.raises(ModelError, match="nothing to train"):
        build_optimizer(OptimizerSettings(name="sgd"), [frozen])


@pytest.mark.parametrize(("name", "options"), [("SGD", {"momentum": 0.9}), ("Adam", {}), ("AdamW", {})])
def test_one_kernel_moves_all_parameters_as_many_would(name, options):
    def moved(**more) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        parameters = [nn.Parameter(torch.randn(5, generator=generator)) for _ in range(3)]
        settings = OptimizerSettings(name=name, options={"lr": 0.1} | options | more)
        optimizer = build_optimizer(settings, parameters)
        for _ in range(4):
            for parameter in parameters:
                parameter.grad = torch.randn(5, generator=generator)
            optimizer.step()
        assert bool(optimizer.defaults["fused"]) is (not more)
        return torch.cat([parameter.detach() for parameter in parameters])

    torch.testing.assert_close(moved(), moved(foreach=False), rtol=1e-5, atol=1e-6)


def test_cosine_ends_with_the_run_unless_told():
    sgd = {"name": "sgd", "options": {"lr": 1.0}, "schedule": "cosine_annealing_lr"}
    optimizer = SGD(parameters(), lr=1.0)
    assert build_schedule(OptimizerSettings(**sgd), optimizer, 10).T_max == 10
    told = OptimizerSettings(**sgd, schedule_options={"T_max": 4})
    assert build_schedule(told, optimizer, 10).T_max == 4
    found = rates(OptimizerSettings(**sgd), 10)
    assert found[5] == pytest.approx(0.5)
    assert found[9] == pytest.approx((1 + torch.cos(torch.tensor(0.9 * torch.pi))).item() / 2, abs=1e-6)


def test_one_cycle_lasts_for_the_run():
    settings = OptimizerSettings(
        name="sgd",
        options={"lr": 0.1, "momentum": 0.9},
        schedule="one_cycle_lr",
        schedule_options={"max_lr": 1.0, "pct_start": 0.3},
    )
    found = rates(settings, 20)
    assert max(found) == pytest.approx(1.0)
    assert found.index(max(found)) == 5
    assert found[0] == pytest.approx(1 / 25)
    assert found[-1] < 1e-4


def test_milestones_are_shares_or_updates():
    common = {"name": "sgd", "options": {"lr": 1.0}, "schedule": "multi_step_lr"}
    by_share = OptimizerSettings(**common, schedule_options={"milestones": [0.5, 0.75], "gamma": 0.1})
    by_count = OptimizerSettings(**common, schedule_options={"milestones": [10, 15], "gamma": 0.1})
    expected = [1.0] * 10 + [0.1] * 5 + [0.01] * 5
    assert rates(by_share, 20) == pytest.approx(expected)
    assert rates(by_count, 20) == pytest.approx(expected)


def test_shares_are_of_what_comes_after_the_warmup():
    common = {"name": "sgd", "options": {"lr": 1.0}, "schedule": "multi_step_lr", "warmup": 10}
    by_share = OptimizerSettings(**common, schedule_options={"milestones": [0.5], "gamma": 0.1})
    assert rates(by_share, 30)[10:] == pytest.approx([1.0] * 10 + [0.1] * 10)


def test_warmup_rises_to_the_rate_and_hands_over():
    settings = OptimizerSettings(name="sgd", options={"lr": 1.0}, schedule="cosine_annealing_lr", warmup=4)
    found = rates(settings, 14)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[4:] == pytest.approx(rates(settings.model_copy(update={"warmup": 0}), 10))


def test_warmup_alone_stays_up():
    assert rates(OptimizerSettings(name="sgd", options={"lr": 1.0}, warmup=3), 6) == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 1]
    )


def test_no_schedule_no_warmup():
    assert build_schedule(OptimizerSettings(name="sgd"), SGD(parameters(), lr=1.0), 5) is None


SCHEDULES = {
    "CosineAnnealingLR": {},
    "CosineAnnealingWarmRestarts": {"T_0": 4},
    "ConstantLR": {},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3},
    "ExponentialLR": {"gamma": 0.9},
    "LinearLR": {},
    "MultiStepLR": {"milestones": [0.3, 0.3, 9]},
    "OneCycleLR": {"max_lr": 1.0},
    "PolynomialLR": {"power": 2.0},
    "StepLR": {"step_size": 5},
}


def test_every_schedule_is_tried():
    functions = {"LambdaLR", "MultiplicativeLR"}
    refused = {"ReduceLROnPlateau", "SequentialLR", "ChainedScheduler", "LRScheduler"}
    assert set(SCHEDULES) == {n for n in lr_scheduler.__all__ if n.endswith("LR")} - functions - refused | {
        "CosineAnnealingWarmRestarts"
    }


@pytest.mark.parametrize("warmup", [0, 5])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("at", [3, 5, 11])
def test_a_stored_schedule_goes_on_as_if_nothing_had_been(name, warmup, at, tmp_path):
    settings = OptimizerSettings(
        name="sgd",
        options={"lr": 0.5, "momentum": 0.9},
        schedule=name,
        schedule_options=SCHEDULES[name],
        warmup=warmup,
    )
    total, file, found = 16, Checkpoint(tmp_path / "state.safetensors"), []
    optimizer = build_optimizer(settings, parameters())
    schedule = build_schedule(settings, optimizer, total)
    for step in range(total):
        if step == at:
            file.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()})
            optimizer = build_optimizer(settings, parameters())
            schedule = build_schedule(settings, optimizer, total)
            state = file.load()
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    assert found == rates(settings, total)


def step_lr(size, **lengths):
    settings = OptimizerSettings(
        name="sgd", options={"lr": 1.0}, schedule="step_lr", schedule_options={"step_size": size}
    )
    return build_schedule(settings, SGD(parameters(), lr=1.0), 60, **lengths).step_size


@pytest.mark.parametrize(
    ("came", "steps"), [("2 epochs", 20), ("1 epoch", 10), ("30 steps", 30), (0.5, 30), (40, 40)]
)
def test_a_length_in_epochs_in_steps_or_as_a_share(came, steps):
    assert step_lr(came, per_epoch=10, epochs=6) == steps


def test_a_number_that_may_be_epochs_or_steps_is_asked_about():
    with pytest.raises(RecipeError, match=r'step_size came as 3, .* write "3 epochs" or "3 steps"'):
        step_lr(3, per_epoch=10, epochs=6)
    assert step_lr(3, per_epoch=10) == 3  # of a run whose length is in steps


@pytest.mark.parametrize("came", ["soon", "3 days", "-1 epochs", "three epochs"])
def test_a_length_that_cannot_be_read(came):
    with pytest.raises(RecipeError, match="expected a number of updates"):
        step_lr(came, per_epoch=10, epochs=6)


def test_a_warmup_in_epochs():
    settings = OptimizerSettings(name="sgd", options={"lr": 1.0}, warmup="1 epoch")
    schedule = build_schedule(settings, SGD(parameters(), lr=1.0), 60, per_epoch=10, epochs=6)
    assert schedule.total_iters == 10
