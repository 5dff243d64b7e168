"""What makes a comparison doubtful before its numbers are read."""

from __future__ import annotations

__all__ = ["warnings_about"]

_ROUNDING = 1e-6


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
