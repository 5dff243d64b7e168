"""After how many epochs a store of the teacher's answers pays."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

from tutelage.data import Loader
from tutelage.errors import AnswersError
from tutelage.labelling import answer, logits_of, rows_of, shown
from tutelage.labelling.prepare import KEY_BYTES
from tutelage.studies import Arm, Stage, Study
from tutelage.teachers import Remembered, Stored, Teacher

__all__ = ["break_even"]

_BATCHES = 4


def break_even(study: Study, teacher: Teacher, device: torch.device) -> dict[str, Any] | None:
    """What labelling would cost and save in this run.

    Args:
        study: the run.
        teacher: who answers, trained or not.
        device: where.

    Returns:
        None for a teacher whose answers cannot be stored, or are. Else `asked` and `labelled`: examples that
        the teacher answers in this run, and that labelling would ask about; `seconds_asking` and
        `seconds_labelling` of the two; `bytes` of dense float32 answers; `epochs` of training, over all arms
        and seeds, after which labelling has paid, None where it does not; `advice` in words.
    """
    if teacher.moves or teacher.heeds or teacher.reads_labels or isinstance(teacher, Remembered | Stored):
        return None
    try:
        parts = shown(study)
    except AnswersError as error:
        return {"advice": f"answers cannot be stored: {error}"}
    seconds, row_bytes = _an_example(study, teacher, device)
    labelled = sum(len(part.source) for part in parts)
    asking = [(arm, stage) for arm in study.arms.values() for _, stage in arm.asking]
    if not asking:
        return None
    epochs = len(study.seeds) * sum(_epochs(arm, stage) for arm, stage in asking)
    asked = len(study.seeds) * sum(_epochs(arm, stage) * len(arm.source) for arm, stage in asking)
    pays = None if asked <= labelled else epochs * labelled / asked
    return {
        "asked": asked,
        "labelled": labelled,
        "seconds_asking": asked * seconds,
        "seconds_labelling": labelled * seconds,
        "bytes": labelled * (row_bytes + KEY_BYTES),
        "epochs": pays,
        "advice": _advice(pays, epochs, (asked - labelled) * seconds),
    }


def _epochs(arm: Arm, stage: Stage) -> int:
    source = arm.source_of(stage)
    if source is None:
        return 0
    length = len(Loader(source, batch_size=stage.settings.batch_size))
    return -(-stage.settings.total_steps(length) // length)


def _an_example(study: Study, teacher: Teacher, device: torch.device) -> tuple[float, float]:
    """Seconds to answer an example in a training batch, and the bytes of its answer in float32."""
    arm = next(arm for arm in study.arms.values() if arm.asking)
    size = min(arm.asking[0][1].settings.batch_size, len(arm.source))
    batch = arm.source.batch(range(size))
    clocks = []
    for _ in range(_BATCHES):
        clock = time.perf_counter()
        outputs = answer(teacher, batch, device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        clocks.append(time.perf_counter() - clock)
    rows = rows_of(logits_of(outputs), batch.to(device))
    return median(clocks[1:]) / size, rows.nbytes / size


def _advice(pays: float | None, epochs: int, saved: float) -> str:
    if pays is None:
        return "each view is shown once: stored answers save nothing in this run, and do from the second on"
    gain = f"save {saved:,.0f} seconds here"
    return f"stored answers pay after {pays:.1f} of {epochs} epochs over all seeds, and {gain}"
