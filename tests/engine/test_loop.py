"""The loop: turns, one denominator, what is kept, what is said."""

from __future__ import annotations

import json
import math
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutelage.data import Loader
from tutelage.engine import (
    Checkpoint,
    OptimizerSettings,
    Runtime,
    TrainSettings,
    Validation,
    fit,
    read_history,
)
from tutelage.engine.average import WeightAverage
from tutelage.errors import CheckpointError, ModelError, NonFiniteLoss, RecipeError, UnknownName
from tutelage.types import Batch, Turn

SGD = OptimizerSettings(name="sgd", options={"lr": 0.1})


class Fixed:
    """Batches that are given by hand: steps of micro-batches, the same in each epoch."""

    def __init__(self, steps):
        self.steps = steps

    def __len__(self):
        return len(self.steps)

    def epoch(self, epoch, start=0):
        yield from self.steps[start:]


def ones(count: int = 4, steps: int = 1) -> Fixed:
    return Fixed([[Batch(torch.ones(count, 1), torch.arange(count))]] * steps)


def runtime() -> Runtime:
    return Runtime(cpu=True, quiet=True)


def run(turns, batches, modules=None, optimizers=None, **options):
    settings = {"epochs": 1, **{k: options.pop(k) for k in list(options) if k in TrainSettings.model_fields}}
    if "steps" in settings:
        settings.pop("epochs")
    names = {turn.name: SGD for turn in turns}
    return fit(
        turns,
        modules or {},
        batches,
        TrainSettings(**settings),
        optimizers=optimizers or names,
        **({"runtime": runtime()} | options),
    )


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# -- settings ---------------------------------------------------------------------------------------


def test_one_length_and_only_one():
    with pytest.raises(ValueError, match="either `epochs` or `steps`"):
        TrainSettings()
    with pytest.raises(ValueError, match="epochs=1, steps=2"):
        TrainSettings(epochs=1, steps=2)
    assert TrainSettings(epochs=3).total_steps(7) == 21
    assert TrainSettings(steps=4).total_steps(7) == 4


@pytest.mark.parametrize("steps", [1, 3, 4, 9])
def test_as_many_steps_as_asked(training, steps):
    _, fitted = training.train(settings={"steps": steps, "epochs": None})
    assert fitted.steps == steps


# -- turns ------------------------------------------------------------------------------------------


def squares(*modules: nn.Module, wanted: float = 0.0):
    def terms(batch: Batch):
        value = batch.inputs
        for module in modules:
            value = module(value)
        return {"square": (value - wanted).square().mean()}

    return terms


def test_a_turn_moves_its_own_parameters_only():
    torch.manual_seed(0)
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    both = squares(first, second)
    before = weights(second)
    run([Turn("student", list(first.parameters()), both)], ones(), {"a": first, "b": second})
    assert equal(weights(second), before)
    moved = weights(first)
    critic = Turn("critic", list(second.parameters()), both)
    run([critic], ones(), {"a": first, "b": second})
    assert equal(weights(first), moved)
    assert not equal(weights(second), before)


def test_gradients_of_another_turn_do_not_leak():
    """The generator's backward runs through the critic; the critic's own step must not see it."""
    results = []
    for with_generator in (False, True):
        torch.manual_seed(0)
        critic, generator = nn.Linear(1, 1), nn.Linear(1, 1)
        still = OptimizerSettings(name="sgd", options={"lr": 0.0})
        turns = [Turn("critic", list(critic.parameters()), squares(critic))]
        if with_generator:
            turns.insert(0, Turn("generator", list(generator.parameters()), squares(generator, critic)))
        run(
            turns,
            ones(),
            {"c": critic, "g": generator},
            {t.name: SGD if t.name == "critic" else still for t in turns},
        )
        results.append(weights(critic))
    assert equal(*results)


def test_turns_are_made_in_order_and_repeated():
    seen = []

    def terms_of(name, weight):
        def terms(batch):
            seen.append(name)
            return {"t": weight.square().sum()}

        return terms

    one, two = (nn.Parameter(torch.ones(1)) for _ in range(2))
    turns = [
        Turn("critic", [one], terms_of("critic", one), repeat=3),
        Turn("student", [two], terms_of("student", two)),
    ]
    fitted = run(turns, ones(steps=2))
    assert seen == (["critic"] * 3 + ["student"]) * 2
    assert one.item() == pytest.approx(0.8**6)
    assert two.item() == pytest.approx(0.8**2)
    assert set(fitted.history[-1]["terms"]) == {"critic/t", "student/t"}


def test_a_repeated_turns_schedule_lasts_as_long_as_the_run():
    weight = nn.Parameter(torch.ones(1))
    turn = Turn("critic", [weight], lambda batch: {"t": weight.square().sum()}, repeat=3)
    cosine = OptimizerSettings(name="sgd", options={"lr": 1e-3}, schedule="cosine_annealing_lr")
    fitted = run([turn], ones(steps=4), optimizers={"critic": cosine}, log_every=1)
    rates = [record["lr"]["critic"] for record in fitted.history]
    assert rates[1] == pytest.approx(0.5e-3)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_names_of_turns_and_optimizers_must_meet(training):
    turn = training.turn_of(training.network())
    with pytest.raises(RecipeError, match=r"turn 'critic' has no optimizer \(given: student\)"):
        run([turn, Turn("critic", turn.parameters, turn.terms)], ones(), optimizers={"student": SGD})
    with pytest.raises(UnknownName, match=r"unknown turn 'studnet'\. Nearest: 'student'"):
        run([turn], ones(), optimizers={"student": SGD, "studnet": SGD})
    with pytest.raises(ModelError, match="two turns share a name"):
        run([turn, turn], ones())
    with pytest.raises(ModelError, match="gave no terms"):
        run([Turn("student", turn.parameters, lambda batch: {})], ones())
    with pytest.raises(ModelError, match=r"no term of turn 'student' \(fixed\) depends on what it trains"):
        run([Turn("student", turn.parameters, lambda batch: {"fixed": torch.ones(())})], ones())


# -- one denominator --------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [2, 3, 4, 8])
def test_micro_batches_equal_one_batch(training, accumulate):
    whole, one = training.train()
    parts, many = training.train(settings={"accumulate": accumulate})
    for a, b in zip(weights(whole), weights(parts), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    for a, b in zip(one.history, many.history, strict=True):
        assert a["terms"] == pytest.approx(b["terms"], rel=1e-12)


def test_micro_batches_of_unequal_masks_equal_one_batch(training):
    """No mean of means: each item weighs the same, wherever it lies."""
    data = training.examples(12)
    batch = data.batch(range(12))
    mask = torch.tensor([1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0], dtype=torch.bool)

    def part(a, b):
        return Batch(batch.inputs[a:b], batch.ids[a:b], batch.labels[a:b], mask[a:b])

    results = []
    for cuts in ([(0, 12)], [(0, 4), (4, 8), (8, 12)], [(0, 1), (1, 12)], [(8, 12), (0, 8)]):
        torch.manual_seed(0)
        net = training.network()
        fitted = run([training.turn_of(net)], Fixed([[part(*cut) for cut in cuts]] * 5), {"student": net})
        results.append((weights(net), fitted.history[-1]["loss"]))
    for held, loss in results[1:]:
        assert loss == pytest.approx(results[0][1], rel=1e-12)
        for a, b in zip(held, results[0][0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_step_without_one_item_that_counts_moves_nothing(training):
    net = training.network()
    batch = training.examples(4).batch(range(4))
    masked = Batch(batch.inputs, batch.ids, batch.labels, torch.zeros(4, dtype=torch.bool))
    before = weights(net)
    fitted = run([training.turn_of(net)], Fixed([[masked]]), {"student": net})
    assert equal(weights(net), before)
    assert fitted.history[-1]["loss"] == 0


def test_clipping_bounds_the_whole_turns_gradient():
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    turn = Turn("student", [weight], lambda batch: {"t": weight.square().sum() / 2})
    run([turn], ones(), optimizers={"student": OptimizerSettings(name="sgd", options={"lr": 1.0})}, clip=1.0)
    torch.testing.assert_close(weight.detach(), torch.tensor([2.4, 3.2]))


def test_bfloat16_computes_in_it_and_stores_float32(training):
    seen = []
    net = training.network(dtype=torch.float32)
    net[0].register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    batches = Loader(training.examples(16, dtype=torch.float32), batch_size=8)
    fitted = run([training.turn_of(net)], batches, {"student": net}, precision="bfloat16", epochs=4)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert math.isfinite(fitted.history[-1]["loss"])


# -- modes ------------------------------------------------------------------------------------------


def modes_seen(net: nn.Module, **options) -> list[list[bool]]:
    """The mode of each layer in each forward of a training with validations in between."""
    seen: list[list[bool]] = []
    turn = Turn(
        "student", list(net.parameters()), lambda batch: seen.append(modes(net)) or squares(net)(batch)
    )
    measure = options.pop("measure", lambda: net.eval() and {"m": 0.0})
    run([turn], ones(steps=2), {"student": net}, epochs=3, validation=Validation(measure, "m"), **options)
    return seen


def modes(net: nn.Module) -> list[bool]:
    return [layer.training for layer in net.modules()]


def test_a_careless_validation_does_not_leave_the_student_in_eval_mode():
    net = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    assert modes_seen(net) == [[True] * 4] * 6
    assert modes(net) == [True] * 4


def test_validation_runs_in_eval_mode():
    net = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2))
    seen = []
    modes_seen(net, measure=lambda: seen.append(modes(net)) or {"m": 0.0})
    assert seen == [[False] * 3] * 3


def test_a_student_that_comes_in_eval_mode_is_trained_in_training_mode():
    net = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2)).eval()
    assert modes_seen(net) == [[True] * 3] * 6


def test_a_layer_that_was_frozen_on_purpose_stays_frozen():
    net = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2))
    net[1].eval()
    before = net[1].running_mean.clone()
    assert modes_seen(net) == [[True, True, False]] * 6
    assert torch.equal(net[1].running_mean, before)


def test_modes_come_back_when_validation_fails():
    net = nn.Linear(1, 1)

    def measure():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        modes_seen(net, measure=measure)
    assert net.training


# -- what is kept -----------------------------------------------------------------------------------


def counting(values, folder=None, **options):
    """Train a weight that counts its steps, with validation metrics given in advance."""
    weight = nn.Parameter(torch.zeros(1))
    module = nn.ParameterDict({"w": weight})
    turn = Turn("student", [weight], lambda batch: {"t": -weight.sum()})
    left, higher = iter(values), options.pop("higher_is_better", True)
    validation = Validation(lambda: {"m": next(left)}, "m", higher)
    one = {"student": OptimizerSettings(name="sgd", options={"lr": 1.0})}
    epochs = options.pop("epochs", len(values))
    fitted = run(
        [turn],
        ones(steps=2),
        {"student": module},
        one,
        validation=validation,
        folder=folder,
        epochs=epochs,
        **options,
    )
    return weight.item(), fitted


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("values", "higher", "step"),
    [
        ([0.1, 0.5, 0.2], True, 4),
        ([0.1, 0.5, 0.2], False, 2),
        ([0.1, 0.5, 0.5], True, 4),
        ([math.nan, 0.5, math.nan], True, 4),
        ([math.nan, math.nan], True, 2),
    ],
)
def test_the_best_weights_are_kept(tmp_path, on_disk, values, higher, step):
    weight, fitted = counting(values, tmp_path if on_disk else None, higher_is_better=higher)
    assert weight == step
    assert fitted.best["step"] == step
    assert fitted.steps == 2 * len(values)


def test_the_last_weights_are_kept_if_asked():
    weight, fitted = counting([0.9, 0.5, 0.2], keep="last")
    assert weight == 6
    assert fitted.best == {"step": 6, "value": 0.2}


@pytest.mark.parametrize(
    ("values", "patience", "steps"), [([3, 1, 2, 4], 2, 6), ([1, 2, 1, 3], 2, 8), ([3, 1, 9, 9], 1, 4)]
)
@pytest.mark.parametrize("keep", ["best", "last"])
def test_training_ends_when_nothing_got_better_for_long_enough(values, patience, steps, keep):
    _, fitted = counting(values, patience=patience, keep=keep)
    assert fitted.steps == steps


def test_a_run_that_ran_out_of_patience_stays_ended(tmp_path):
    counting([3, 1, 2, 4], tmp_path, patience=2, checkpoint_every=0)
    weight, fitted = counting([], tmp_path, epochs=4, patience=2, checkpoint_every=0)
    assert (weight, fitted.steps) == (2, 6)


def test_a_callback_hears_each_line_of_the_history():
    heard = []
    quiet = Runtime(cpu=True, quiet=True, callbacks=[heard.append])
    _, fitted = counting([0.1, 0.2], runtime=quiet)
    assert [{key: each[key] for key in each if key != "label"} for each in heard] == fitted.history
    assert {each["label"] for each in heard} == {"train"}
    counting([0.1], runtime=quiet.unheard())
    assert len(heard) == len(fitted.history)


def test_validation_comes_every_few_epochs_and_at_the_end():
    _, fitted = counting([0.1, 0.2, 0.3], epochs=5, validate_every=2)
    assert [r["step"] for r in fitted.history if "validation" in r] == [4, 8, 10]


def test_without_validation_the_last_weights_are_kept(training):
    _, fitted = training.train()
    assert fitted.best is None


# -- the moving average -----------------------------------------------------------------------------


def test_the_average_by_hand():
    """Weights 1, 2, 3 after a start at 0, decay 0.75: 0.25, then 0.6875, then 1.265625."""
    weight, fitted = counting([0.5], average=0.75)
    assert weight == pytest.approx(0.75 * 0.25 + 0.25 * 2)
    weight, fitted = counting([0.1, 0.5], average=0.75)
    average = 0.0
    for value in (1, 2, 3, 4):
        average = 0.75 * average + 0.25 * value
    assert weight == pytest.approx(average)
    assert fitted.best["step"] == 4


def test_validation_sees_the_average_and_training_does_not():
    weight = nn.Parameter(torch.zeros(1))
    seen, trained = [], []
    turn = Turn("student", [weight], lambda batch: trained.append(weight.item()) or {"t": -weight.sum()})
    validation = Validation(lambda: seen.append(weight.item()) or {"m": 0.0}, "m")
    run(
        [turn],
        ones(steps=1),
        {"student": nn.ParameterDict({"w": weight})},
        {"student": OptimizerSettings(name="sgd", options={"lr": 1.0})},
        validation=validation,
        epochs=3,
        average=0.5,
        keep="last",
    )
    assert trained == [0, 1, 2]
    assert seen == [0.5, 1.25, 2.125]
    assert weight.item() == 2.125


def test_tied_weights_are_averaged_once():
    shared = nn.Linear(1, 1)
    average = WeightAverage({"student": shared, "matches": nn.ModuleList([shared])}, decay=0.5)
    with torch.no_grad():
        shared.weight.fill_(4.0)
    before = shared.weight.item()
    average.update()
    with average.applied():
        assert shared.weight.item() != before
    assert shared.weight.item() == before


# -- what goes wrong --------------------------------------------------------------------------------


def breaking(at: int, folder, value: float = math.nan):
    weight = nn.Parameter(torch.ones(1))
    calls = 0

    def terms(batch):
        nonlocal calls
        calls += 1
        bad = value if calls == at else 1.0
        return {"good": weight.square().sum(), "bad": weight.sum() * bad}

    module = nn.ParameterDict({"w": weight})
    return run(
        [Turn("student", [weight], terms)],
        ones(steps=3),
        {"student": module},
        epochs=3,
        folder=folder,
        checkpoint_every=0,
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_term_is_named_and_the_last_good_checkpoint_kept(tmp_path, value):
    with pytest.raises(
        NonFiniteLoss, match=rf"became {value} at step 5, in turn 'student', term 'bad'"
    ) as caught:
        breaking(5, tmp_path, value)
    path = tmp_path / "checkpoint.safetensors"
    assert str(path) in str(caught.value)
    state = Checkpoint(path).load()
    assert state["step"] == 4
    assert state["modules"]["student"]["w"].isfinite().all()
    assert breaking(99, tmp_path).steps == 9  # and it can be taken up


def test_broken_weights_are_not_stored(tmp_path):
    """A finite loss with an infinite gradient breaks the weights one step before the loss shows it."""
    weight = nn.Parameter(torch.ones(1))
    calls = 0

    def terms(batch):
        nonlocal calls
        calls += 1
        return {"root": (weight - weight.detach()).sqrt().sum() if calls == 3 else weight.sum()}

    turn = Turn("student", [weight], terms)
    with pytest.raises(NonFiniteLoss, match="weights of turn 'student' are NaN or infinite after step 3"):
        run(
            [turn], ones(steps=9), {"s": nn.ParameterDict({"w": weight})}, folder=tmp_path, checkpoint_every=0
        )
    assert Checkpoint(tmp_path / "checkpoint.safetensors").load()["step"] == 2


def test_a_checkpoint_of_another_network(training, tmp_path):
    training.train(tmp_path, settings={"checkpoint_every": 0})
    with pytest.raises(CheckpointError, match="another network"):
        training.train(tmp_path, net={"norm": True}, settings={"epochs": 4})
    with pytest.raises(CheckpointError, match="other settings"):
        training.train(tmp_path, settings={"epochs": 4, "average": 0.5})


# -- history ----------------------------------------------------------------------------------------


def test_lines_of_history(training, tmp_path):
    _, fitted = training.train(tmp_path, validate=True, settings={"epochs": 2})
    assert read_history(tmp_path / "history.jsonl") == fitted.history
    steps = [(record["step"], "validation" in record) for record in fitted.history]
    assert steps == [(4, False), (5, False), (5, True), (8, False), (10, False), (10, True)]
    line = fitted.history[0]
    assert line["epoch"] == pytest.approx(0.8)
    assert line["loss"] == pytest.approx(sum(line["terms"].values()))
    assert set(line["terms"]) == {"student/labels", "student/size"}
    assert line["lr"] == {"student": 0.1}


def test_a_line_is_the_mean_since_the_line_before():
    weight = nn.Parameter(torch.zeros(1))
    turn = Turn("student", [weight], lambda batch: {"t": -weight.sum()})
    one = {"student": OptimizerSettings(name="sgd", options={"lr": 1.0})}
    fitted = run([turn], ones(steps=5), optimizers=one, log_every=2)
    assert [record["loss"] for record in fitted.history] == [-0.5, -2.5, -4.0]


def test_what_is_only_noted_goes_into_no_sum():
    weight = nn.Parameter(torch.zeros(1))

    def terms(batch: Batch) -> dict[str, torch.Tensor]:
        return {"t": -weight.sum(), "seen": 10 * weight.sum() + batch.inputs.mean()}

    one = {"student": OptimizerSettings(name="sgd", options={"lr": 1.0})}
    turn = Turn("student", [weight], terms, notes=("seen",))
    fitted = run([turn], ones(steps=4), optimizers=one, log_every=2)
    assert [record["loss"] for record in fitted.history] == [-0.5, -2.5]
    assert [list(record["terms"]) for record in fitted.history] == [["student/t"]] * 2
    assert [record["notes"] for record in fitted.history] == [{"student/seen": 6.0}, {"student/seen": 26.0}]


def test_numbers_of_any_kind_are_written(tmp_path):
    import numpy as np

    weight = nn.Parameter(torch.zeros(1))
    turn = Turn("student", [weight], lambda batch: {"t": weight.sum()})
    measured = {"a": np.float32(0.5), "b": torch.tensor(2), "c": 3}
    run([turn], ones(), validation=Validation(lambda: measured, "a"), folder=tmp_path)
    assert read_history(tmp_path / "history.jsonl")[-1]["validation"] == {"a": 0.5, "b": 2.0, "c": 3.0}


def test_a_line_cut_short_is_left_out(tmp_path):
    (tmp_path / "h").write_text(json.dumps({"step": 1}) + '\n{"step": 2, "te')
    assert read_history(tmp_path / "h") == [{"step": 1}]
    assert read_history(tmp_path / "none") == []


@pytest.mark.slow
def test_time_counts_training_only():
    def measure():
        time.sleep(0.5)
        return {"m": 0.0}

    net = nn.Linear(1, 1)
    turn = Turn("student", list(net.parameters()), squares(net))
    fitted = run([turn], ones(), {"student": net}, validation=Validation(measure, "m"), epochs=4)
    assert 0 < fitted.seconds < 1


def test_batch_norm_never_meets_one_example(training):
    """A lone last example joins the step before it: batch norm cannot learn from one."""
    _, fitted = training.train(net={"norm": True}, count=33)
    assert fitted.steps == 3 * 4
    net = nn.Sequential(nn.Linear(6, 4, dtype=torch.float64), nn.BatchNorm1d(4, dtype=torch.float64))
    data = Loader(training.examples(9), batch_size=4, accumulate=2)
    run(
        [Turn("s", list(net.parameters()), lambda b: {"t": F.mse_loss(net(b.inputs), b.inputs[:, :4])})], data
    )
