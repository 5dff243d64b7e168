"""The command that trains on what a verb has made of a recipe's text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.cli.options import Asked

if TYPE_CHECKING:
    from tutelage.recipes import Recipe
    from tutelage.studies import Study

__all__ = ["next_run"]


def next_run(asked: Asked, study: Study, out: str) -> str:
    """The command; where a test set is not known, its place is left open.

    Args:
        asked: what the verb was asked.
        study: its study.
        out: the folder that it made, with the tokenizer and perhaps the teacher beside the text.
    """
    from tutelage.recipes import load

    recipe = load(asked.recipe, changes=asked.changes)
    writer = study.problem.writer
    made = _as_labels if writer is not None and writer.answers else _as_data
    changes = made(asked, recipe, out)
    if study.plan.arms:  # trained on what was there; what was written would give another teacher
        weights = json.dumps(str(Path(out) / "teacher" / "student.safetensors"))
        changes += ["teacher.frozen.train=null", f"teacher.frozen.weights={weights}"]
    again = Asked(asked.recipe, tuple(changes), cpu=asked.cpu, allow=asked.allow)
    return shlex.join(["tutelage", "run", *again.words()])


def _as_data(asked: Asked, recipe: Recipe, out: str) -> list[str]:
    """Train on the text, and test on what the task says."""
    task = recipe.task.settings
    held, words = task.get("data"), task.get("tokenizer")
    others = {**held} if isinstance(held, Mapping) else {}
    data = {"train": out, "test": "TEST.txt"} | {key: others[key] for key in others if key != "train"}
    said = ", ".join(f"{name}: {json.dumps(place, ensure_ascii=False)}" for name, place in data.items())
    changes = [change for change in asked.changes if not change.startswith("task.data")]
    changes.append(f"task.data={{{said}}}")
    if isinstance(words, Mapping):  # learnt from text; the new text would give other tokens
        changes.append(f"task.tokenizer={json.dumps(str(Path(out) / 'tokenizer'))}")
    return changes


def _as_labels(asked: Asked, recipe: Recipe, out: str) -> list[str]:
    """Train the student on the text in the labels' place, and the control on the labels."""
    stages = [number for number, stage in enumerate(recipe.stages) if hasattr(stage, "train")]
    written = json.dumps(out, ensure_ascii=False)
    changes = [*asked.changes, *(f"stages.{n}.train.augment={{written: {written}}}" for n in stages)]
    return changes if recipe.control is False else [*changes, "control.train.augment={}"]
