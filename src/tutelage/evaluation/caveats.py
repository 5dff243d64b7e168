"""What makes a comparison doubtful before its numbers are read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat, zip_longest
from statistics import fmean

from torch import Tensor

from tutelage.evaluation.curves import (
    LEAST_POINTS,
    Curve,
    best_last,
    course,
    has_diverged,
    in_bins,
    late_share,
)
from tutelage.evaluation.scale import Scale

__all__ = [
    "PROBABILITIES",
    "ArmRecord",
    "are_probabilities",
    "sanity",
    "teacher_before_training",
    "warnings_about",
]

_ROUNDING = 1e-6
_FEW_STEPS = 30  # fewer than any network learns in


@dataclass(frozen=True, slots=True)
class ArmRecord:
    """What the seeds of one arm came to.

    Args:
        values: the metric on the test set, of each seed that finished.
        histories: of the same seeds, (step, metric on the validation split), in the order of steps; of the
            last stage where there are several. Empty where nothing was validated.
        losses: of the same seeds, (step, training loss).
        failed_seeds: the seeds that ended with numbers that are not finite.
    """

    values: Sequence[float]
    histories: Sequence[Curve] = ()
    losses: Sequence[Curve] = ()
    failed_seeds: Sequence[int] = ()


def are_probabilities(logits: Tensor) -> bool:
    """Whether what should be raw scores looks like probabilities: from 0 to 1, with sum 1 in each row.

    Args:
        logits: of some examples, [n, C].
    """
    if logits.ndim < 2 or logits.shape[-1] < 2 or len(logits) == 0:
        return False
    logits = logits.float()
    return bool((logits >= 0).all()) and bool(((logits.sum(-1) - 1).abs() < 1e-3).all())


PROBABILITIES = (
    "the teacher answers with numbers from 0 to 1 that add up to 1 in each row: probabilities, where logits "
    "are read, so that a softmax over them makes every answer almost even. Give it without its softmax, or "
    "as `lambda inputs: teacher(inputs).clamp(min=1e-6).log()`"
)
"""What is said of a teacher that ends in a softmax."""


def warnings_about(
    teacher: float,
    control: float | None,
    chance: float,
    *,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    seeds: int | None = None,
) -> list[str]:
    """What stands at the top of a report, because it makes the rest of it doubtful.

    Args:
        teacher, control: the metric of each, on the same examples; None without a control.
        chance: the metric of an answer that ignores the inputs (for accuracy, the share of the most common
            class).
        metric: its name.
        higher_is_better: false for errors and losses.
        seeds: how many paired seeds ran; None where that does not matter.

    Returns:
        Plain sentences; none if there is nothing to warn about.
    """
    sign = 1 if higher_is_better else -1
    found = []
    if not sign * teacher > sign * chance + _ROUNDING:
        found.append(
            f"The teacher is no better than chance ({metric} {teacher:.4g}, chance {chance:.4g}): "
            "it has nothing to teach."
        )
    if control is None:
        found.append("No control was trained, so nothing here shows that the teacher helped.")
    elif sign * teacher < sign * control:
        found.append(
            f"The teacher is worse than the student trained alone ({metric} {teacher:.4g} against "
            f"{control:.4g})."
        )
    if control is not None and not sign * control > sign * chance + _ROUNDING:
        found.append(
            f"The student trained alone is no better than chance ({metric} {control:.4g}, chance "
            f"{chance:.4g}): it is too weak a control to compare with."
        )
    if seeds == 1:
        found.append("Only one seed ran, so the spread between seeds is unknown and nothing can be shown.")
    return found


def sanity(
    arms: Mapping[str, ArmRecord],
    *,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    chance: float | None = None,
    examples: int | None = None,
    teacher: float | None = None,
    control: str = "control",
) -> list[str]:
    """What is wrong with a run whatever its interval says, with advice that mends it.

    A seed is *near chance* if it is not better than guessing by two standard errors of a guess on so many
    examples, or not by a tenth of the way from chance to the teacher (to a perfect answer, where there is no
    teacher above chance). It *diverged* if its training loss ended more than a tenth above its start while
    the validation metric did not improve; or if it is near chance, and its metric was better before or its
    loss rose to twice its start. An arm is *still improving* if the last quarter of training brought more
    than a tenth of the whole gain, a quarter of that or more in the last eighth, and more than twice its
    standard error, by the scatter about a line through the second half. Where it was validated fewer than
    four times, its training loss counts. It is also told to train longer if each seed was best at its last
    look, and the last quarter brought a fiftieth of the whole gain.

    Args:
        arms: by the name to show.
        metric: the name of the values.
        higher_is_better: false for errors and losses.
        chance: the metric of an answer that ignores the inputs; None where nobody knows.
        examples: of the test set.
        teacher: its metric on the same examples; None without one, or where it says nothing.
        control: the name of the arm that the teacher should be better than.

    Returns:
        Plain sentences; none if all is well.
    """
    scale = Scale(metric, higher_is_better, chance, examples, teacher)
    alone = [value for value in arms[control].values if math.isfinite(value)] if control in arms else []
    found = _about_teacher(scale, teacher, fmean(alone) if alone else None)
    for name, arm in arms.items():
        found += _about_arm(name, arm, scale)
    return found


def teacher_before_training(
    teacher_value: float,
    chance: float | None,
    control_value: float | None = None,
    *,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    examples: int | None = None,
) -> list[str]:
    """What is wrong with a teacher, said before students are trained.

    Args:
        teacher_value: the teacher's metric.
        chance, metric, higher_is_better: as for `sanity`.
        control_value: the metric of the student trained alone, where it is known already.
        examples: how many the teacher was measured on.
    """
    scale = Scale(metric, higher_is_better, chance, examples, None)
    return _about_teacher(scale, teacher_value, control_value)


def _about_teacher(scale: Scale, teacher: float | None, control: float | None) -> list[str]:
    if teacher is None:
        return []
    if math.isnan(teacher) or scale.is_chance(teacher):
        beside = "" if scale.chance is None else f", chance {scale.chance:.4g}"
        if scale.is_far_below_chance(teacher):
            return [
                f"The teacher is far below chance ({scale.metric} {teacher:.4g}{beside}): it knows "
                "something, and its classes seem to be in another order than the labels; put the labels "
                "into its order."
            ]
        return [
            f"The teacher is at chance ({scale.metric} {teacher:.4g}{beside}): it has nothing to teach; "
            "train it further, or take another."
        ]
    if control is not None and scale.gain(teacher, control) < 0:
        return [
            f"The teacher is below the student trained alone ({scale.metric} {teacher:.4g} against "
            f"{control:.4g}): a student that copied it would lose by it; train it further, or take a better "
            "one."
        ]
    return []


def _about_arm(name: str, arm: ArmRecord, scale: Scale) -> Iterator[str]:
    """Sentences on one arm; what diverged is not told to train longer."""
    calm = "lower the learning rate, or clip gradients."
    if arm.failed_seeds:
        seeds = ", ".join(map(str, arm.failed_seeds))
        word = "seed" if len(arm.failed_seeds) == 1 else "seeds"
        yield f"{name}: {word} {seeds} failed with numbers that are not finite, and count in no mean: {calm}"
    curves = zip_longest(arm.histories, arm.losses, fillvalue=())
    records = zip(arm.values, chain(curves, repeat(((), ()))), strict=False)
    diverged = [has_diverged(value, *held, scale) for value, held in records]
    if any(diverged):
        yield f"{name}: {_of(diverged)}diverged{_course(arm.losses, diverged)}: {calm}"
    longer = _longer(arm)
    near = [scale.is_near_chance(value) and not bad for value, bad in zip(arm.values, diverged, strict=True)]
    share, what = _late_share(arm, diverged, scale)
    if any(near):
        values = ", ".join(f"{value:.4g}" for value, is_near in zip(arm.values, near, strict=True) if is_near)
        advice = "raise the learning rate, or take a larger student"
        yield (
            f"{name}: {_of(near)}at or near chance ({scale.metric} {values}, chance {scale.chance:.4g}): "
            + (f"still improving, so {longer}, or {advice}." if share else f"{longer}, {advice}.")
        )
    elif share:
        yield (
            f"{name}: still improving at the end (the last quarter of training brought {100 * share:.0f} % "
            f"of the whole gain in {what}): {longer}."
        )
    elif not any(diverged) and best_last(arm.histories, scale):
        yield (
            f"{name}: on validation its {scale.metric} was best at the very end of training"
            f"{' in each seed' if len(arm.histories) > 1 else ''}, and still improving: {longer}."
        )


def _longer(arm: ArmRecord) -> str:
    """Train longer; where the steps were few, how an epoch gets more of them."""
    steps = max((curve[-1][0] for curve in chain(arm.histories, arm.losses) if curve), default=_FEW_STEPS)
    if steps >= _FEW_STEPS:
        return "train longer"
    return f"train longer (it took {steps:g} steps in all; a smaller batch_size makes more of an epoch)"


def _late_share(arm: ArmRecord, diverged: Sequence[bool], scale: Scale) -> tuple[float | None, str]:
    """How much the last quarter still brought, and in what: the metric, or the loss where looks are few."""
    looks, losses = (
        [curve for curve, bad in zip(curves, diverged, strict=False) if not bad]
        for curves in (arm.histories, arm.losses)
    )
    if any(len(curve) >= LEAST_POINTS for curve in looks):
        return late_share(looks, scale), scale.metric
    falling = Scale("training loss", False, None, None, None)
    return late_share([in_bins(curve) for curve in losses], falling), falling.metric


def _of(which: Sequence[bool]) -> str:
    """How many seeds are meant; of a single one that goes without saying."""
    return f"{sum(which)} of {len(which)} seeds " if len(which) > 1 else ""


def _course(losses: Sequence[Curve], which: Sequence[bool]) -> str:
    """The training loss of the first seed that is meant, where there is one."""
    for curve, meant in zip(losses, which, strict=False):
        if meant and curve:
            first, most, last = course(curve)
            return f" (training loss {first:.4g} at first, {most:.4g} at most, {last:.4g} at the end)"
    return ""
