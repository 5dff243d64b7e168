"""What a run says of itself at the head of its page: networks, data, task, date, and how it was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from torch import nn

from tutelage.runs.examined import Examined
from tutelage.studies import Study
from tutelage.teachers import Frozen, Stored, Teacher

__all__ = ["about"]


def about(study: Study, examined: Mapping[str, Examined], teacher: Teacher | None) -> dict[str, Any]:
    """The facts, as plain JSON.

    Args:
        study: what was run.
        examined: every outcome, by name.
        teacher: who was asked; None for nobody.
    """
    networks = {name: type(one.network).__name__ for name, one in examined.items() if one.network is not None}
    task = study.resolved.get("task")
    name, settings = next(iter(task.items()), ("", None)) if isinstance(task, Mapping) else ("", None)
    data = settings.get("data") if isinstance(settings, Mapping) else None
    return {
        "networks": ({} if teacher is None else {"teacher": _kind(teacher)}) | networks,
        "task": name,
        "data": data if isinstance(data, str) else None,
        "classes": study.problem.num_classes,
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "again": study.again,
    }


def _kind(teacher: nn.Module) -> str:
    """The class of a network; of several ones, how many of each."""
    if isinstance(teacher, Frozen):
        return type(teacher.network).__name__
    if isinstance(teacher, Stored):
        return "stored answers"
    members = [one for one in getattr(teacher, "members", ()) if isinstance(one, nn.Module)]
    if not members:
        return type(teacher).__name__
    kinds = Counter(map(_kind, members))
    told = ", ".join(f"{count} × {kind}" if count > 1 else kind for kind, count in kinds.items())
    return f"{type(teacher).__name__} of {told}"
