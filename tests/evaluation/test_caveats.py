import functools
import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from tutelage.evaluation.caveats import ArmRecord, sanity, teacher_before_training

STEPS = range(10, 101, 10)


def curve(function):
    return [(step, function(step / 100)) for step in STEPS]


def saturating(part):
    return 0.9 - 0.8 * math.exp(-8 * part)


def about(*, metric="accuracy", **settings):
    """What is said of one arm."""
    chosen = {"values": [0.9], **settings}
    scale = {
        name: chosen.pop(name)
        for name in ("chance", "examples", "teacher", "higher_is_better")
        if name in chosen
    }
    return sanity({"student": ArmRecord(**chosen)}, metric=metric, **{"chance": 0.1, **scale})


def test_a_sound_run_is_silent():
    assert about(histories=[curve(saturating)], losses=[curve(lambda part: 2 - part)], teacher=0.95) == []


def test_an_arm_at_chance_learns_longer_or_faster():
    (said,) = about(values=[0.11, 0.9, 0.1], teacher=0.95)
    assert said == (
        "student: 2 of 3 seeds at or near chance (accuracy 0.11, 0.1, chance 0.1): train longer, raise the "
        "learning rate, or take a larger student."
    )
    assert "seeds" not in about(values=[0.1])[0]


@pytest.mark.parametrize(
    ("value", "settings", "near"),
    [
        (0.12, {"teacher": 0.2}, False),
        (0.12, {"teacher": 0.2, "examples": 10_000}, False),
        (0.12, {"teacher": 0.2, "examples": 500}, True),  # two standard errors are 0.027
        (0.12, {"teacher": 0.95}, True),  # a tenth of the way is 0.085
        (0.2, {"teacher": 0.95}, False),
        (0.18, {}, True),  # a tenth of the way to a perfect answer is 0.09
        (0.2, {}, False),
        (0.2, {"teacher": 0.1}, False),  # a teacher at chance is no aim
        (0.05, {}, True),
        (0.05, {"chance": None}, False),
        (60, {"metric": "errors", "higher_is_better": False, "chance": 9000, "examples": 10_000}, False),
        (8950, {"metric": "errors", "higher_is_better": False, "chance": 9000, "teacher": 8700}, False),
        (
            8950,
            {
                "metric": "errors",
                "higher_is_better": False,
                "chance": 9000,
                "teacher": 8700,
                "examples": 10_000,
            },
            True,  # two standard errors are 60 errors
        ),
        (6.0, {"metric": "nll", "higher_is_better": False, "chance": 6.2, "teacher": 3.0}, True),
        (
            5.7,
            {"metric": "nll", "higher_is_better": False, "chance": 6.2, "teacher": 3.0, "examples": 9},
            False,
        ),
        (300, {"metric": "perplexity", "higher_is_better": False, "chance": 500, "teacher": 20}, False),
        (450, {"metric": "perplexity", "higher_is_better": False, "chance": 500, "teacher": 20}, True),
    ],
)
def test_what_is_near_chance(value, settings, near):
    assert any("near chance" in said for said in about(values=[value], **settings)) == near


@pytest.mark.parametrize("higher", [True, False])
def test_an_arm_still_improving_trains_longer(higher):
    sign = 1 if higher else -1
    settings = {"higher_is_better": higher, "metric": "score", "chance": None, "values": [sign * 0.9]}
    (said,) = about(histories=[curve(lambda part: sign * part)], **settings)
    assert said == (
        "student: still improving at the end (the last quarter of training brought 28 % of the whole gain in "
        "score): train longer."
    )
    assert about(histories=[curve(lambda part: sign * saturating(part))], **settings) == []
    assert about(histories=[curve(lambda part: -sign * part)], **settings) == []


def test_gains_before_the_first_look_count():
    """From 0.86 to 0.9 in a straight line, where guessing gives 0.1."""
    assert about(histories=[curve(lambda part: 0.86 + 0.04 * part)]) == []


def test_a_jump_that_has_levelled_off_is_over():
    assert about(histories=[curve(lambda part: 0.5 if part < 0.8 else 0.9)]) == []


def test_noise_is_no_gain():
    def noisy(sign):
        return [(step, 0.5 + sign * 0.05 * (-1) ** (step // 10)) for step in STEPS]

    assert about(histories=[noisy(1)], chance=None) == []
    assert about(histories=[noisy(1), noisy(-1)], values=[0.5, 0.5], chance=None) == []


def test_where_an_epoch_is_a_step_a_smaller_batch_makes_more_of_them():
    looks = [(step, 0.1 + 0.01 * step) for step in range(1, 13)]
    (said,) = about(values=[0.22], histories=[looks])
    assert said.endswith(
        "train longer (it took 12 steps in all; a smaller batch_size makes more of an epoch)."
    )


def test_too_few_looks_say_nothing():
    assert about(histories=[[(1, 0.3), (2, 0.6), (3, 0.9)]]) == []
    assert about(histories=[[]]) == []


def test_losses_speak_where_looks_are_few():
    looks = [[(100, 0.9)]]
    assert about(histories=looks, losses=[curve(lambda part: 2 - 2 * saturating(part))]) == []
    (said,) = about(histories=looks, losses=[curve(lambda part: 2 - part)])
    assert said.endswith("of the whole gain in training loss): train longer.")
    noisy = [(step, 2 - step / 1000 + 0.3 * (-1) ** step) for step in range(1, 97)]
    assert "train longer" in about(histories=looks, losses=[noisy])[0]


def test_perplexities_improve_by_their_logarithms():
    falling = curve(lambda part: 1000 * 0.1 ** (2 * part))
    settings = {"metric": "perplexity", "higher_is_better": False, "chance": None, "values": [10]}
    assert "train longer" in about(histories=[falling], **settings)[0]


def test_an_arm_near_chance_and_improving_is_told_once():
    (said,) = about(values=[0.15], histories=[curve(lambda part: 0.1 + 0.05 * part)])
    assert "near chance" in said
    assert "still improving, so train longer, or raise" in said


def test_a_rising_loss_diverged_and_is_not_told_to_hurry():
    (said,) = about(values=[0.1], losses=[curve(lambda part: 2 + 3 * part)])
    assert said == (
        "student: diverged (training loss 2.3 at first, 5 at most, 5 at the end): lower the learning "
        "rate, or clip gradients."
    )


def test_one_seed_of_two_diverged():
    rising, falling = curve(lambda part: 2 + part), curve(lambda part: 2 - saturating(part))
    (said,) = about(values=[0.9, 0.1], losses=[falling, rising])
    assert "1 of 2 seeds diverged (training loss 2.1 at first, 3 at most, 3 at the end)" in said


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_diverged(value):
    assert "diverged" in about(values=[value])[0]
    assert "diverged" in about(losses=[[(1, 2.0), (2, value)]])[0]


def test_a_quality_that_fell_back_to_chance_diverged():
    (said,) = about(values=[0.1], histories=[curve(lambda part: 0.6 if part < 0.5 else 0.1)])
    assert said == "student: diverged: lower the learning rate, or clip gradients."


def test_a_loss_that_burst_diverged_although_it_fell_again():
    burst = curve(lambda part: 2.4 if part < 0.2 or part > 0.6 else 50)
    assert "50 at most, 2.4 at the end): lower" in about(values=[0.1], losses=[burst])[0]
    assert about(values=[0.9], losses=[burst]) == []


def test_a_loss_that_grows_with_its_weights_is_no_divergence():
    assert about(losses=[curve(lambda part: 1 + part)], histories=[curve(saturating)]) == []
    assert about(losses=[curve(lambda part: 2.0)]) == []


def test_failed_seeds_are_listed():
    (said,) = about(failed_seeds=[2, 5])
    assert said.startswith("student: seeds 2, 5 failed")
    assert "lower the learning rate" in said
    (said,) = about(values=[], failed_seeds=[0])
    assert said.startswith("student: seed 0 failed")


def test_the_teacher():
    arms = {"control": ArmRecord([0.8, 0.82])}
    (said,) = sanity(arms, chance=0.1, teacher=0.1)
    assert said.startswith("The teacher is at chance (accuracy 0.1, chance 0.1): it has nothing to teach")
    (said,) = sanity(arms, chance=0.1, teacher=0.8)
    assert said.startswith("The teacher is below the student trained alone (accuracy 0.8 against 0.81)")
    assert sanity(arms, chance=0.1, teacher=0.9) == []
    assert sanity(arms, teacher=math.inf) == []


@pytest.mark.parametrize(
    ("value", "settings", "begins"),
    [
        (0.1, {"chance": 0.1}, "The teacher is at chance"),
        (0.11, {"chance": 0.1}, None),
        (0.11, {"chance": 0.1, "examples": 1000}, "The teacher is at chance"),
        (0.01, {"chance": None}, None),
        (math.nan, {"chance": None}, "The teacher is at chance (accuracy nan)"),
        (0.8, {"chance": 0.1, "control_value": 0.81}, "The teacher is below"),
        (60, {"chance": 9000, "metric": "errors", "higher_is_better": False, "control_value": 80}, None),
        (
            90,
            {"chance": 9000, "metric": "errors", "higher_is_better": False, "control_value": 80},
            "The teacher is below",
        ),
        (7.0, {"chance": 6.2, "metric": "nll", "higher_is_better": False}, "The teacher is at chance (nll 7"),
    ],
)
def test_a_teacher_before_training(value, settings, begins):
    said = teacher_before_training(value, **settings)
    assert [line[: len(begins or "")] for line in said] == ([begins] if begins else [])


@functools.cache
def digits():
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images, labels = torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


def trained(epochs, *, seed, rate=0.05, looks=12):
    """A small network on real digits: its accuracy, and its curves."""
    (images, labels), (unseen, answers) = digits()
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    batches = [rows for _ in range(epochs) for rows in torch.randperm(1200, generator=draws).split(30)]
    history, losses = [], []
    for step, rows in enumerate(batches, 1):
        loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append((step, loss.item()))
        if step % (len(batches) // looks) == 0:
            with torch.no_grad():
                history.append((step, (network(unseen).argmax(1) == answers).float().mean().item()))
    return history[-1][1], history, losses


def record(epochs, *, seeds=(0, 1), **settings):
    return ArmRecord(*zip(*(trained(epochs, seed=seed, **settings) for seed in seeds), strict=True))


@pytest.mark.slow
def test_real_digits():
    arms = {
        "slow": record(1, rate=0.0001),
        "short": record(1),
        "shown once": record(1, looks=1),
        "long": record(40, seeds=(0,)),
        "wild": record(2, rate=30.0),
    }
    said = sanity(arms, chance=0.1, examples=597, teacher=0.97)
    assert [line.split(":")[0] for line in said] == ["slow", "short", "shown once", "wild"]
    assert "2 of 2 seeds at or near chance" in said[0]
    assert said[1].endswith("of the whole gain in accuracy): train longer.")
    assert said[2].endswith("of the whole gain in training loss): train longer.")
    assert "2 of 2 seeds diverged" in said[3]


def test_a_seed_that_was_best_at_its_last_look_is_told_to_train_longer():
    short = [(50, 0.40), (100, 0.58), (150, 0.65), (200, 0.68)]
    (said,) = about(values=[0.68] * 3, histories=[short] * 3, teacher=0.95)
    assert said == (
        "student: on validation its accuracy was best at the very end of training in each seed, and still "
        "improving: train longer."
    )
    level = [(50, 0.40), (100, 0.67), (150, 0.68), (200, 0.68)]
    assert about(values=[0.68] * 3, histories=[short, short, level], teacher=0.95) == []


def test_a_teacher_far_below_chance_has_its_classes_in_another_order():
    (said,) = teacher_before_training(0.02, 0.5, examples=300)
    assert "in another order than the labels" in said
    (said,) = teacher_before_training(0.45, 0.5, examples=300)
    assert "at chance" in said
