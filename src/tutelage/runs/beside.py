"""What lies beside a student's weights, so that others can use them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from tutelage.files import write_atomically
from tutelage.tasks.problem import Problem

__all__ = ["write_beside"]


def write_beside(student: nn.Module, problem: Problem, folder: Path) -> None:
    """Write what the task adds, such as a tokenizer, and `config.json` of a network of Transformers.

    Args:
        student: the network.
        problem: what it was trained on.
        folder: where its weights lie.
    """
    said = getattr(getattr(student, "config", None), "to_json_string", None)
    if said is not None:
        write_atomically(folder / "config.json", said(use_diff=False).encode())
    problem.write_files(folder)
