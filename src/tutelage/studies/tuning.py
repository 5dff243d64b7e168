"""What a record of tuning leaves uncontrolled, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["said_of_tuning"]


def said_of_tuning(tuning: Mapping[str, Any], *, control: bool) -> list[str]:
    """What control and student did not have alike, and what their trials cost.

    Args:
        tuning: arm -> `trials`, and `seconds` where they were measured.
        control: whether there is a control.

    Example:
        >>> said_of_tuning({"control": {"trials": 3}, "student": {"trials": 4}}, control=True)
        ['tuning: 3 trials for the control, 4 for the student']
    """
    held = {arm: each for arm, each in tuning.items() if isinstance(each, Mapping)}
    trials = {arm: each.get("trials") for arm, each in held.items()}
    if not trials:
        return ["tuning: the recipe keeps no record of how control and student were tuned"]
    found = []
    if control and trials.get("control") != trials.get("student"):
        found.append(
            f"tuning: {trials.get('control')} trials for the control, {trials.get('student')} for the student"
        )
    seconds = {arm: each["seconds"] for arm, each in held.items() if each.get("seconds")}
    if seconds:
        each = ", ".join(
            f"{seconds[arm]:,.0f} s for the {arm}"
            for arm in ("student", "control", "teacher")
            if arm in seconds
        )
        found.append(f"compute: the trials of tuning took {each}, on top of the training times of this run")
    return found
